"""A draft's fleet file. A comment marks each guess."""

from __future__ import annotations

import math
from collections.abc import Iterator

from stream.replay.draft.columns import Column
from stream.replay.draft.proposal import Draft
from stream.replay.draft.yaml_text import comment, number, scalar

_MARGIN = 0.5  # of the range in the table, on both sides, because new data has a wider range than a sample
_LARGEST = 1e30
_NARROW = 60_000  # bytes of an event below which the default of limits.record_bytes is enough


def fleet_yaml(draft: Draft) -> str:
    """Return the fleet file."""
    return "\n".join([*_head(draft), *_readings(draft), *_left_out(draft), *_tail(draft)]) + "\n"


def _head(draft: Draft) -> Iterator[str]:
    rows, devices = draft.order.rows, draft.order.devices
    of = f"{rows:,} rows of {devices:,} device{'s' * (devices != 1)}"
    yield f"# Drafted by `aimaas fleets draft` from {comment(draft.table)}: {of}."
    yield "# Check each guess, correct it, then delete its comment. docs/reference/fleet-file.md has all keys."
    yield f"fleet: {scalar(draft.fleet)}"
    yield "version: 1"
    yield f"description: {scalar(f'Drafted from {draft.table}.')}  # write which devices these are"
    if draft.by_time:
        yield "order: ts  # guess: no two rows of a device have the same time"
    elif draft.seq:
        yield f"order: seq  # guess: column {comment(draft.seq)} counts the events of a device"
    elif draft.roles.time:
        yield "order: seq  # guess: some rows of a device have the same time or are not sorted; with order: ts the time counts"
    else:
        yield "order: seq  # guess: the table has no column of times"


def _readings(draft: Draft) -> Iterator[str]:
    """Return the settings and sensors; a fleet needs at least one sensor."""
    settings = [c for c in draft.roles.readings if c.name in draft.roles.settings]
    sensors = [c for c in draft.roles.readings if c.name not in draft.roles.settings]
    if not sensors:
        settings, sensors = [], settings
    if settings:
        yield "\nsettings:  # guess: by their names, a person or a controller sets them"
        yield from (_reading(draft, c) for c in settings)
    yield "\n# Each range is the range in the table plus a margin. Write what is physically possible:"
    yield "# admission refuses all other values."
    yield "sensors:"
    yield from (_reading(draft, c) for c in sensors)


def _reading(draft: Draft, column: Column) -> str:
    low, high = with_margin(column)
    unit = draft.units.get(column.name)
    told = [
        f"in the table {column.low:.6g} to {column.high:.6g}"
        if not column.is_constant
        else f"constant, {column.low:.6g}"
    ]
    nullable = ""
    if column.missing:
        nullable = ", nullable: true, fill: previous"
        told.append(f"{column.missing / column.rows:.2%} of the rows have no value")
    if unit is None:
        told.append("no unit in the header")
    if column.low <= -99 and column.words is not None and column.low in (-99, -999, -9999):
        told.append(f"{column.low:g} may mean a missing value: then add it to missing in the mapping file")
    label, key = draft.labels[column.name], draft.names[column.name]
    text = f"name: {scalar(label, flow=True)}, unit: {scalar(unit or '1', flow=True)}, range: [{number(low)}, {number(high)}]"
    return f"  {scalar(key)}: {{{text}{nullable}}}  # guess: {'; '.join(told)}"


def _left_out(draft: Draft) -> Iterator[str]:
    if draft.roles.left_out:
        yield "\n# Left out:"
        yield from (f"#   {comment(name)}: {comment(why)}" for name, why in draft.roles.left_out.items())


def _tail(draft: Draft) -> Iterator[str]:
    if not draft.rows_are_devices:
        yield "\nfeatures: {windows: [5, 20]}  # guess: window lengths in rows"
    else:
        yield "\n# no features.windows: each row is another device"
    yield "\ntask:"
    yield from _task(draft)
    yield "\ntraining:"
    yield "  candidates: {ridge: {}, boosting: {}}  # docs/reference/candidates.md lists more"
    limits = list(_limits(draft))
    if limits:
        yield "\nlimits:"
        yield from limits


def _task(draft: Draft) -> Iterator[str]:
    unit, horizon, why = _unit_of_task(draft)
    if draft.roles.remaining is not None:
        cap = max(math.ceil(draft.roles.remaining.high), 1)
        yield "  kind: remaining_useful_life  # guess: the table has a column for it"
        yield f"  unit: {unit}  # guess: {why}"
        yield f"  cap: {cap}  # guess: the largest value in the table; a longer remaining life gets this label"
        return
    rows = draft.order.rows / max(draft.order.devices, 1)
    length = "" if draft.rows_are_devices else f" ({rows:,.0f} rows per device)"
    yield f"  kind: failure_within  # guess: or remaining_useful_life with a cap{length}"
    yield f"  unit: {unit}  # guess: {why}"
    yield f"  horizon: {horizon}  # guess: how far ahead the model looks"


def _unit_of_task(draft: Draft) -> tuple[str, int, str]:
    """Return the unit and the horizon of the task, and the reason."""
    mean = draft.order.time.mean if draft.by_time and draft.order.time else None
    if not draft.by_time:
        return "cycles", 0 if draft.rows_are_devices else 10, "one step is one row"
    step_s = (mean or 3.6e9) / 1e6
    told = f"{_span(step_s)} between two rows of a device, on average" if mean else "no device has two rows"
    if step_s < 1:
        return "seconds", 60, told
    if step_s < 60:
        return "minutes", 60, told
    return ("hours", 24, told) if step_s < 43_200 else ("days", 7, told)


def _span(seconds: float) -> str:
    """Return a span of time in words: `9.9 hours`."""
    names = (("days", 86_400), ("hours", 3_600), ("minutes", 60), ("seconds", 1))
    unit, length = next((n for n in names if seconds >= n[1]), ("seconds", 1))
    return f"{seconds / length:,.4g} {unit}"


def _limits(draft: Draft) -> Iterator[str]:
    """Return the limits that the rows of the table would break otherwise."""
    time = draft.order.time
    if time is not None and draft.roles.time is not None and time.newest > draft.now_us:
        ahead = math.ceil((time.newest - draft.now_us) / 1e6) + 86_400
        yield f"  skew_s: {ahead}  # guess: the table has times in the future; live devices should not"
    if draft.by_time and time is not None and time.largest > 31_536_000 * 1e6:
        days = time.largest / 8.64e10
        yield f"  jump: {math.ceil(time.largest / 1e6 * 1.1)}  # guess: in seconds; the longest gap is {days:,.0f} days"
    size = sum(len(name) + 28 for name in draft.names.values()) + 500
    if size > _NARROW:
        yield f"  record_bytes: {min(2 * size, 1_000_000)}  # guess: an event has {len(draft.names)} readings"


def with_margin(column: Column) -> tuple[float, float]:
    """Return a range of round numbers around the found values, not below 0 if no value was; 0 to 1 for a flag."""
    if column.is_flag:
        return 0.0, 1.0
    span = column.high - column.low or max(abs(column.high), 1.0)
    low, high = column.low - _MARGIN * span, column.high + _MARGIN * span
    unit = 10.0 ** math.floor(math.log10(span * _MARGIN)) if span * _MARGIN > 1e-290 else 0.0
    if unit:
        low, high = math.floor(low / unit) * unit, math.ceil(high / unit) * unit
    low = 0.0 if column.low >= 0 > low else low
    low, high = (float(f"{bound:.12g}") for bound in (low, high))  # 0.3, not 0.30000000000000004
    low, high = max(min(low, column.low), -_LARGEST), min(max(high, column.high), _LARGEST)
    return (low, high) if low < high else (math.nextafter(low, -math.inf), math.nextafter(high, math.inf))
