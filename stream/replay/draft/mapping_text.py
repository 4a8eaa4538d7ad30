"""A draft's mapping file. A comment marks each guess."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stream.replay.draft.proposal import Draft
from stream.replay.draft.yaml_text import comment, scalar
from stream.replay.mapping.schema import TableFormat


def mapping_yaml(draft: Draft) -> str:
    """Return the mapping file."""
    return "\n".join([*_mapping_head(draft), *_mapping_readings(draft), *_mapping_outcome(draft)]) + "\n"


def _mapping_head(draft: Draft) -> Iterator[str]:
    yield f"# Drafted by `aimaas fleets draft` from {comment(draft.table)}. docs/reference/mapping.md has all keys."
    yield from (f"# This row cannot be read: {comment(line)}" for line in draft.torn)
    yield f"fleet: {scalar(draft.fleet)}"
    plain = TableFormat().model_dump()
    for key, value in draft.written.model_dump(exclude={"missing"}).items():
        if value != plain[key]:
            yield f"{key}: {scalar(list(value) if isinstance(value, tuple) else value)}  # guess: by the first lines"
    yield from _mapping_device(draft)
    if draft.seq:
        yield f"seq: {scalar(draft.seq)}  # guess: the column rises with each row of a device"
    if draft.roles.time is not None and draft.order.time is not None:
        yield _mapping_time(draft)


def _mapping_device(draft: Draft) -> Iterator[str]:
    others = draft.roles.devices[1:3]
    also = f"; other columns: {', '.join(comment(o) for o in others)}" if others else ""
    if draft.device.column is not None:
        what = (
            "each row is another device"
            if draft.rows_are_devices
            else f"{draft.order.devices:,} device{'s' * (draft.order.devices != 1)}"
        )
        yield f"device: {scalar(draft.device.column)}  # guess: by its name; {what}{also}"
    else:
        yield f"device: {{name: {scalar(draft.device.name, flow=True)}}}  # guess: no column names a device"


def _mapping_time(draft: Draft) -> str:
    time, told = draft.roles.time, list[str]()
    assert time is not None  # noqa: S101 - the caller looked
    keys: dict[str, Any] = {"column": time.column[0] if len(time.column) == 1 else list(time.column)}
    keys |= {k: v for k in ("unit", "format", "zone") if (v := getattr(time, k)) is not None}
    if time.zone:
        told.append("no zone in the table; write yours")
    if time.unit:
        told.append(f"numbers of this size count {time.unit} since 1970")
    if draft.roles.time_is_ambiguous:
        told.append("DAY OR MONTH FIRST? The rows allow both")
    inner = ", ".join(f"{k}: {scalar(v, flow=True)}" for k, v in keys.items())
    return f"ts: {{{inner}}}  # guess: {'; '.join(told) or 'a column of times'}"


def _mapping_readings(draft: Draft) -> Iterator[str]:
    yield "readings:"
    yield from (f"  {scalar(draft.names[c.name])}: {scalar(c.name)}" for c in draft.roles.readings)


def _mapping_outcome(draft: Draft) -> Iterator[str]:
    outcome = draft.roles.outcome
    if outcome is None:
        yield "# The draft found no column of outcomes. A model needs outcomes to train on. Write one of these:"
        yield "# outcome: {column: …, failed: …}  # a column, and its words that mean a failure"
        yield "# outcome: {last_row: failed}  # if the last row of each device is its failure"
        return
    yield "outcome:"
    yield f"  column: {scalar(outcome.column)}  # guess: by its name; it is not a reading, so the model does not see it"
    yield f"  failed: {scalar(outcome.failed)}"
    if outcome.repaired:
        yield f"  repaired: {scalar(outcome.repaired)}"
    yield "  # optional: true  # for tables without failures"
    if draft.rows_are_devices and not draft.by_time:
        yield "  observed: true  # guess: a row without a failure is a negative example, not an unknown one"
    if draft.roles.modes:
        modes = ", ".join(f"{scalar(name, flow=True)}: {scalar(name.lower(), flow=True)}" for name in draft.roles.modes)
        yield f"  # modes: {{{comment(modes)}}}  # guess: rare flags that may be failure modes"
