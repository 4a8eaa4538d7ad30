"""The limit on dead letters: what counts, what survives, that nothing drains the topic, and that few devices stop nobody."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimaas.admission.judge import Reason
from aimaas.errors import DeadLetterLimitError
from stream.state.refusal_limit import AT_LEAST, Flood, check_limit
from stream.state.refusals import BUCKET_MS, WINDOW_MS, RefusalWindow
from stream.state.spread import PLACES, places_of

LIMIT = 0.1


def counted(made: RefusalWindow, records: Sequence[tuple[int, Reason, bytes | None]], known: bool = True) -> None:
    """Count records: broker time in ms, reason and key."""
    keys = [key for _, reason, key in records if reason != Reason.ADMITTED]
    ms, reasons = [r[0] for r in records], [r[1] for r in records]
    made.count(np.array(ms, np.int64), np.array(reasons, np.int8), keys, [known] * len(keys))


def window(*reasons: Reason, at_ms: int = 0) -> RefusalWindow:
    """Records of as many devices."""
    made = RefusalWindow()
    counted(made, [(at_ms, reason, b"d%d" % i) for i, reason in enumerate(reasons)])
    return made


def bad(refused: int, judged: int) -> RefusalWindow:
    return window(*[Reason.SCHEMA] * refused, *[Reason.ADMITTED] * (judged - refused))


def refusing(by_device: dict[bytes, int], admitted: int, known: bool = True) -> RefusalWindow:
    """So many refused records of each device, and admitted ones of others."""
    made = RefusalWindow()
    keys = [*Counter(by_device).elements()]
    counted(made, [(0, Reason.UNPARSABLE, key) for key in keys] + [(0, Reason.ADMITTED, b"")] * admitted, known)
    return made


def check(*windows: RefusalWindow, devices: int = 0, limit: float = LIMIT) -> Flood | None:
    return check_limit(windows, lambda: devices, limit, "t", "of this")


def test_records_that_are_late_or_come_twice_count_as_neither_judged_nor_refused() -> None:
    made = window(Reason.LATE, Reason.DUPLICATE, Reason.CONFLICT, Reason.ADMITTED)

    assert (made.judged, made.refused) == (2, 1)


@pytest.mark.parametrize(
    ("refused", "judged", "stops"),
    [
        (AT_LEAST - 1, AT_LEAST - 1, False),  # too few to say anything
        (AT_LEAST, 10 * AT_LEAST, False),  # at the limit
        (AT_LEAST + 1, 10 * AT_LEAST, True),
    ],
)
def test_a_share_above_the_limit_stops(refused: int, judged: int, stops: bool) -> None:
    windows = [bad(refused - refused // 2, judged // 2), bad(refused // 2, judged - judged // 2)]  # of two partitions
    if not stops:
        check(*windows)
        return
    with pytest.raises(
        DeadLetterLimitError, match=f"t: {refused} of the last {judged} records were refused .*because of this"
    ):
        check(*windows)


def few(devices: int, records: int) -> dict[bytes, int]:
    return {b"dev-%04d" % i: records for i in range(devices)}


@pytest.mark.parametrize(
    ("by_device", "admitted", "devices", "stops"),
    [
        (few(1, 100_000), 1_000, 50, False),
        (few(1, 1_000), 0, 0, False),  # even where nobody else sends
        (few(2, 5_000), 1_000, 50, False),
        (few(20, 500), 1_000, 1_000, False),
        (few(2, 500), 0, 0, True),
        (few(3, 200), 100, 3, True),  # all of them
        ({**few(3, 200), b"loud": 900}, 100, 4, True),
        (few(40, 25), 1_000, 100, True),
        (few(2_000, 5), 10_000, 5_000, True),
        (few(2_000, 1), 0, 0, True),
        ({**few(500, 10), b"loud": 100_000}, 5_000, 1_000, True),  # one hides nobody
        ({**few(500, 1), b"loud": 100_000}, 50_000, 500, False),  # the others are well, now and then one is refused
    ],
)
def test_a_deployment_stops_the_scorer_and_few_devices_do_not(
    by_device: dict[bytes, int], admitted: int, devices: int, stops: bool
) -> None:
    made = refusing(by_device, admitted)
    if stops:
        with pytest.raises(DeadLetterLimitError):
            check(made, devices=devices)
    else:
        assert check(made, devices=devices) is not None


def test_what_few_devices_cause_is_told_with_the_heaviest_of_them() -> None:
    found = check(refusing({b"dev-1": 500, b"dev-2": 40}, 1_000), devices=50)

    assert found == Flood(540, 1_540, 500, b"dev-1")
    assert check(refusing({b"dev-1": 100}, 1_000), devices=50) is None


@pytest.mark.parametrize(("devices", "repeats", "stops"), [(50, 1, False), (50, 3, True), (0, 1, True)])
def test_keys_that_one_device_makes_up_are_one_device_where_others_are_served(
    devices: int, repeats: int, stops: bool
) -> None:
    made = refusing(few(900 // repeats, repeats), 1_000, known=False)
    if stops:
        with pytest.raises(DeadLetterLimitError):
            check(made, devices=devices)
    else:
        assert check(made, devices=devices) is not None


def test_records_without_a_key_are_one_device() -> None:
    made = RefusalWindow()
    counted(made, [(0, Reason.KEY_MISMATCH, None)] * 500, known=False)

    assert check(made, devices=3) == Flood(500, 500, 500, b"")


@settings(max_examples=50)
@given(st.integers(0, 9_999), st.integers(AT_LEAST, 50_000), st.integers(0, 1_000), st.integers(0, 1_000))
def test_one_device_is_no_deployment_whoever_it_is(device: int, records: int, admitted: int, devices: int) -> None:
    assert check(refusing({b"dev-%d" % device: records}, admitted), devices=devices) or admitted >= 9 * records


@settings(max_examples=30)
@given(st.integers(2, 3_000), st.integers(0, 9_999), st.integers(2, 20))
def test_a_fleet_of_which_all_are_refused_is_a_deployment(devices: int, first: int, each: int) -> None:
    by_device = {b"dev-%d" % (first + i): max(each, AT_LEAST // devices + 1) for i in range(devices)}
    if len({int(p) for p in places_of([*by_device])[0]}) > 1:  # two devices may share a place
        with pytest.raises(DeadLetterLimitError):
            check(refusing(by_device, 10), devices=devices)


def test_a_window_that_the_release_before_has_written_counts_as_one_of_many_devices() -> None:
    old = struct.Struct("<qqq").pack(7, 1_000, 900) + struct.Struct("<qqq").pack(8, 10, 0)

    found = RefusalWindow.unpack(old)

    assert (found.judged, found.refused) == (1_010, 900)
    with pytest.raises(DeadLetterLimitError):
        check(found, devices=10)
    assert RefusalWindow.unpack(b"").buckets == {}


def test_keys_spread_over_all_places_and_both_signs() -> None:
    places, signs = places_of([b"turbofan-%06d" % i for i in range(6_400)])

    assert np.bincount(places, minlength=PLACES).min() > 50
    assert abs(int(signs.sum())) < 400
    assert places_of([b"turbofan-000001"])[0].tolist() == [PLACE_OF_ONE]


PLACE_OF_ONE = 38  # in every process and release: sketches are read back


def test_what_is_older_than_the_window_by_the_brokers_clock_counts_no_more() -> None:
    made = bad(5, 9)

    counted(made, [(WINDOW_MS - 1, Reason.ADMITTED, b"d")])
    assert (made.judged, made.refused) == (10, 5)
    counted(made, [(WINDOW_MS + BUCKET_MS, Reason.ADMITTED, b"d")])
    assert (made.judged, made.refused) == (2, 0)


def test_nothing_is_to_be_written_while_nothing_is_refused() -> None:
    made = window(Reason.ADMITTED, Reason.LATE)

    assert not made.changed


Records = st.lists(
    st.tuples(st.integers(0, 3 * WINDOW_MS), st.sampled_from(list(Reason)), st.none() | st.binary(max_size=2)),
    max_size=40,
)


@given(Records, st.integers(0, 40), st.booleans())
def test_counts_are_the_same_however_records_are_cut_into_batches_and_read_back(
    records: list[tuple[int, Reason, bytes | None]], cut: int, known: bool
) -> None:
    records.sort(key=lambda r: r[0])  # the broker's clock goes on
    whole, parts = RefusalWindow(), RefusalWindow()
    counted(whole, records, known)

    counted(parts, records[:cut], known)
    parts = RefusalWindow.unpack(parts.pack())
    counted(parts, records[cut:], known)

    assert parts.pack() == whole.pack()
