import struct
import tracemalloc

import numpy as np
import pytest

from aimaas.errors import StateError
from aimaas.kernel.state import DeviceState


def filled(window: int, first: int, rows: int) -> DeviceState:
    """State with one device `d` that saw `rows` rows, row i holding the number i."""
    state = DeviceState(("a", "b"), window, first)
    slot = int(state.slots(["d"])[0])
    for i in range(rows):
        state.ring[slot, i % window] = i
        if i < first:
            state.first[slot, i] = i
    state.count[slot], state.held[slot], state.started[slot] = rows, min(rows, window), min(rows, first)
    state.run[slot], state.newest[slot], state.seen_ms[slot], state.admitted[slot] = 3, rows, 99, rows + 5
    state.keys[slot], state.digests[slot], state.jump[slot] = 7, 2**64 - 1, (4, 2**53 - 1, 2)
    return state


def rows_in_order(state: DeviceState) -> list[float]:
    slot, window = int(state.slots(["d"])[0]), state.window
    count, held = int(state.count[slot]), int(state.held[slot])
    return [float(state.ring[slot, i % window, 0]) for i in range(count - held, count)]


@pytest.mark.parametrize("rows", [0, 1, 3, 4, 5, 23])
@pytest.mark.parametrize("window", [1, 4])
def test_what_is_packed_comes_back(rows: int, window: int) -> None:
    state, back = filled(window, 2, rows), DeviceState(("a", "b"), window, 2)
    back.unpack("d", state.pack(0))
    assert back.pack(0) == state.pack(0)


def test_state_from_before_jumps_were_kept_is_read_as_that_of_a_device_that_does_not_jump() -> None:
    state, back = filled(4, 2, 7), DeviceState(("a", "b"), 4, 2)
    layout, without = struct.pack("<H", 1), state.pack(0)[2:-24]

    back.unpack("d", layout + without)

    assert back.jump[0].tolist() == [0, 0, 0]
    assert back.pack(0)[2:-24] == without


def test_state_of_a_layout_to_come_is_refused() -> None:
    with pytest.raises(StateError, match="has layout 3"):
        DeviceState(("a", "b"), 4, 2).unpack("d", struct.pack("<H", 3) + filled(4, 2, 7).pack(0)[2:])


@pytest.mark.parametrize(("window", "kept"), [(2, [5, 6]), (4, [3, 4, 5, 6]), (9, [3, 4, 5, 6])])
def test_state_of_another_window_keeps_the_newest_rows_there_are(window: int, kept: list[float]) -> None:
    other = DeviceState(("a", "b"), window, 2)
    other.unpack("d", filled(4, 2, 7).pack(0))
    assert rows_in_order(other) == kept


@pytest.mark.parametrize(("first", "kept"), [(0, 0), (1, 1), (2, 2), (5, 2)])
def test_state_of_another_k_keeps_the_first_rows_there_are(first: int, kept: int) -> None:
    other = DeviceState(("a", "b"), 4, first)
    other.unpack("d", filled(4, 2, 7).pack(0))
    assert other.started[0] == kept
    assert other.first[0, :kept, 0].tolist() == list(range(kept))


@pytest.mark.parametrize("cut", [0, 10, 60, -1])
def test_torn_state_is_refused_with_the_device(cut: int) -> None:
    with pytest.raises(StateError, match="state of device 'd' is torn"):
        DeviceState(("a", "b"), 4, 2).unpack("d", filled(4, 2, 7).pack(0)[:cut])


def test_state_of_other_readings_is_refused() -> None:
    with pytest.raises(StateError, match="start it with the fleet file that the state was written with"):
        DeviceState(("a", "c"), 4, 2).unpack("d", filled(4, 2, 7).pack(0))


def test_refused_state_leaves_no_device_behind() -> None:
    state = DeviceState(("a", "c"), 4, 2)
    with pytest.raises(StateError):
        state.unpack("d", filled(4, 2, 7).pack(0))
    assert "d" not in state


def test_growing_keeps_every_device_and_a_forgotten_slot_is_empty_when_used_again() -> None:
    state = DeviceState(("a", "b"), 2, 1)
    names = [f"d{i}" for i in range(1000)]
    slots = state.slots(names)
    state.count[slots] = state.admitted[slots] = np.arange(1000)
    assert len(set(slots.tolist())) == len(state) == 1000
    assert state.count[state.slots(names)].tolist() == list(range(1000))
    state.forget("d500")
    assert "d500" not in state
    assert state.slots(["new"])[0] == slots[500]
    assert state.admitted[slots[500]] == 0
    assert len(set(state.slots([*names, "new"]).tolist())) == 1001


def test_growing_holds_no_second_copy_of_the_state() -> None:
    tracemalloc.start()
    state = DeviceState(tuple("abcdefgh"), 30, 5)
    names = [f"d{i}" for i in range(8_000)]
    empty, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    state.slots(names)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - empty < 1.25 * 8_000 * state.bytes_per_device


def test_no_slot_is_given_to_the_first_new_device_that_finds_too_many_and_to_none_after_it() -> None:
    state = DeviceState(("a",), 2, 1)
    assert state.slots(["x", "y", "x", "z", "x"], most=2).tolist() == [0, 1, 0]
    assert "z" not in state
    assert state.slots(["z"], most=3).tolist() == [2]


def test_a_device_twice_in_one_batch_has_one_slot() -> None:
    assert DeviceState(("a",), 2, 1).slots(["x", "x", "y"]).tolist() == [0, 0, 1]
