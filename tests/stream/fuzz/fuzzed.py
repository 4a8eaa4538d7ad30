"""Fuzzed records for the scorer, drawn by hypothesis from a seed; `mutated.py` has the others."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

Headers = list[tuple[str, bytes | None]]


class Fuzzed(NamedTuple):
    """One record to be sent; `sent_ms` is the time that its sender claims, 0 for now."""

    key: bytes | None
    value: bytes | None
    headers: Headers = []  # noqa: RUF012 - never changed
    sent_ms: int = 0


def drawn(value: bytes, count: int, seed: int) -> list[Fuzzed]:
    """Records from hypothesis: any bytes, any JSON, and objects that look like this event, of devices of their own."""
    found: list[Fuzzed] = []

    @seeded(seed)
    @settings(
        max_examples=count, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(_records(value))
    def collect(record: Fuzzed) -> None:
        found.append(record)

    collect()
    return found


def _records(value: bytes) -> st.SearchStrategy[Fuzzed]:
    text = st.text(st.characters(), max_size=12)  # with lone surrogates, which JSON can spell
    number = st.integers() | st.floats() | st.integers(-(10**40), 10**40)
    scalar = st.none() | st.booleans() | number | text
    anything = st.recursive(
        scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=8
    )
    real = json.loads(value)
    order = st.fixed_dictionaries({"seq": st.integers(0, 1_000_000), "run": st.integers(0, 5)})
    nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
    odd = nothing | st.dictionaries(st.sampled_from([*real]) | text, anything, max_size=3)
    readings = st.dictionaries(st.sampled_from([*real["readings"]]) | text, st.floats(0, 1_000) | scalar, max_size=3)

    def event(device: int, at: dict[str, int], some: dict[str, Any], rest: dict[str, Any], key: bytes | None) -> Fuzzed:
        name = f"drawn-{device}"
        whole = real | {"device_id": name} | at | {"readings": real["readings"] | some} | rest
        return Fuzzed(name.encode() if key == b"" else key, json_bytes(whole))

    keys = st.just(b"") | st.just(b"") | st.none() | st.binary(max_size=12)
    events = st.builds(event, st.integers(0, 999), order, st.just({}) | readings, odd, keys)
    headers = st.lists(st.tuples(st.text(max_size=8), st.none() | st.binary(max_size=8)), max_size=3)
    times = st.just(0) | st.integers(-1, 2**63 - 1)
    return events | events | st.builds(Fuzzed, keys, st.binary(max_size=80) | anything.map(json_bytes), headers, times)


def json_bytes(value: Any) -> bytes:
    """As Python writes it: lone surrogates as escapes, NaN and Infinity as such."""
    return json.dumps(value).encode()
