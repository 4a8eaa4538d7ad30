"""Guesses the role of each column of a table: device, time, counter, outcome, reading, or no use in a fleet file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aimaas.records.events import MAX_SEQ
from stream.replay.cells.words import listed, word
from stream.replay.draft.columns import Column
from stream.replay.draft.times import is_called_time, joined_with_clock
from stream.replay.mapping.schema import TimeSource

_THINGS = (
    "device|machine|asset|equipment|engine|unit|pump|motor|vehicle|truck|turbine|robot|compressor|bearing|battery|station|node|meter|"
    "gateway|disk|drive|anlage|maschine|geraet|gerät|aggregat|fahrzeug|pumpe"
)
_ENDS = "id|ids|nr|no|number|nummer|name|key|tag|serial"
_DEVICE = re.compile(rf"(^|_)({_THINGS})s?(_?({_ENDS}))?($|_)")
_NAMED = re.compile(rf"^({_THINGS})(_?({_ENDS}))?$")
_ID = re.compile(rf"(^|_)({_ENDS}|udi|uid|uuid)$")
_COUNTER = re.compile(r"(^|_)(seq|sequence|cycles?|steps?|index|counter|count|zyklus|zyklen|takt|schritt|lfd|row)($|_)")
_RUN = re.compile(r"^(run|lauf|life|lifecycle)(_?(id|no|nr|number))?$")
_SETTING = re.compile(r"setpoint|setting|(^|_)(set_point|soll|sollwert|target|command|cmd|mode|sp)($|_)")
_REMAINING = re.compile(r"(^|_)(rul|ttf|remaining|restlebensdauer)($|_)|time_?to_?fail")
_FAILURE = re.compile(r"fail|fault|defe[ck]t|breakdown|broken|ausfall|st(ö|oe)rung")
_OUTCOME = re.compile(rf"{_FAILURE.pattern}|(^|_)(status|state|outcome|label|zustand|class|condition|target)($|_)")
_ANSWER = re.compile(rf"{_FAILURE.pattern}|(^|_)(outcome|label|target|class)($|_)")
_FAILED = re.compile(r"fail|fault|defe[ck]t|broke|breakdown|kaputt|ausfall|ausgefallen|st(ö|oe)rung|dead|trip|crash")
_REPAIRED = re.compile(r"repair|replace|reparier|maintained|gewartet")
_NOT = re.compile(r"(^|_)(no|not|non|none|ok|without|kein|keine|nicht|ohne)($|_)")
_RARE = 0.05  # a flag with a smaller share of ones is rather an outcome than a reading


def plain(text: str) -> str:
    """Return the words of a header or a cell in lower case with `_` between: `machineID` becomes `machine_id`."""
    return re.sub(r"[\W_]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text)).strip("_").lower()


@dataclass
class Outcome:
    """The column that seems to hold the outcomes of runs, and its words for them."""

    column: str
    failed: list[str]
    repaired: list[str] = field(default_factory=list)


@dataclass
class Roles:
    """The guesses. `left_out` has by column the reason why it is no reading. `modes` are flags that may name a failure's mode."""

    devices: list[str] = field(default_factory=list)  # candidates, the likeliest first
    time: TimeSource | None = None
    time_is_ambiguous: bool = False
    counters: list[str] = field(default_factory=list)
    outcome: Outcome | None = None
    remaining: Column | None = None
    modes: list[str] = field(default_factory=list)
    readings: list[Column] = field(default_factory=list)
    settings: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)


def roles_of(columns: Sequence[Column]) -> Roles:
    """Guess the role of each column, by its name and its cells."""
    found = Roles()
    _find_time(columns, found)
    times = {*(found.time.column if found.time else ())}
    rest = [c for c in columns if c.name not in times]
    found.devices = _devices([c for c in rest if not c.ways])
    found.counters = [c.name for c in rest if _is_counter(c) and c.name not in found.devices[:1]]
    _find_outcome(rest, found)
    used = {*found.devices[:1], *found.left_out, *([found.outcome.column] if found.outcome else [])}
    for column in rest:
        if column.name not in used:
            _sort_in(column, found)
    return found


def _find_time(columns: Sequence[Column], found: Roles) -> None:
    """Find the first time column, first among columns named like a time; with its clock if another column holds it."""
    timed = sorted((c for c in columns if c.ways), key=lambda c: not is_called_time(c.name))
    if not timed:
        return
    column = timed[0]
    found.time = column.ways[0]
    formats = [way.format for way in column.ways if way.format]
    found.time_is_ambiguous = len(formats) > 1 and found.time.format is not None
    clock = next((c for c in columns if c.clock and c.name != column.name), None)
    dates_only = column.ways[0].zone is None or not re.search("%H|%I", found.time.format or "%H")
    if clock is not None and dates_only and ":" not in column.first and not found.time.unit:
        found.time = joined_with_clock(found.time, clock.name, clock.first)


def _devices(columns: Sequence[Column]) -> list[str]:
    """Return the columns that may name the device, the likeliest first."""
    scored = [(_device_score(c), -i, c.name) for i, c in enumerate(columns) if c.is_name]
    return [name for score, _, name in sorted(scored, reverse=True) if score]


def _device_score(column: Column) -> int:
    name = plain(column.name)
    one_word = column.words is not None and len(column.words) == 1
    fraction = column.numbers and not column.strange and not (column.whole and column.low >= 0)
    if (
        fraction
        or (one_word and not (_DEVICE.search(name) or _ID.search(name)))
        or _COUNTER.search(name)
        or _FAILURE.search(name)
    ):
        return 0
    if _NAMED.search(name):
        return 4
    if _ID.search(name) or column.leading_zeros:
        return 3
    if _DEVICE.search(name):
        return 2
    return 1 if column.strange and all(re.fullmatch(r"[A-Za-z_ -]{0,12}[0-9]+", word) for word in column.strange) else 0


def _is_counter(column: Column) -> bool:
    whole = column.is_number and column.whole and not column.missing and column.low >= 0 and column.high <= MAX_SEQ
    return whole and _COUNTER.search(plain(column.name)) is not None


def _find_outcome(columns: Sequence[Column], found: Roles) -> None:
    """Find the column with the outcomes of runs, and the flags beside it with the modes."""
    for column in columns:
        if _REMAINING.search(plain(column.name)) and column.is_number:
            found.left_out[column.name] = "a remaining life: the model must not see its own label"
            found.remaining = found.remaining or column
    named = [
        c for c in columns if _OUTCOME.search(plain(c.name)) and not c.is_constant and c.name not in found.left_out
    ]
    for column in sorted(named, key=lambda c: _FAILURE.search(plain(c.name)) is None):
        outcome = _outcome(column)
        if outcome is None:
            continue
        if found.outcome is None:
            found.outcome = outcome
        else:
            found.left_out[column.name] = f"another column of outcomes, beside {found.outcome.column!r}"
    if found.outcome is None:
        return
    for column in columns:
        rare = column.is_flag and column.words is not None and sum(_ones(column).values()) < _RARE * column.rows
        if rare and column.name != found.outcome.column and column.name not in found.left_out:
            found.modes.append(column.name)
            found.left_out[column.name] = (
                "a rare flag that may be a failure mode: see outcome.modes in the mapping file"
            )


def _ones(column: Column) -> dict[str, int]:
    """Return the cells of a flag that mean yes, in the form for comparison, and the number of their rows."""
    return {word(w): count for w, count in (column.words or {}).items() if word(w) in ("1", "true")}


def _outcome(column: Column) -> Outcome | None:
    if column.words is None:
        return None
    if column.is_flag:
        return (
            Outcome(column.name, list(_ones(column))) if _ones(column) and _ANSWER.search(plain(column.name)) else None
        )
    if column.numbers and not column.strange:
        return None
    words = [w for w in column.words if w.strip() and not _NOT.search(plain(w))]
    failed = [w for w in words if _FAILED.search(plain(w))]
    repaired = [w for w in words if _REPAIRED.search(plain(w)) and w not in failed]
    return Outcome(column.name, failed, repaired) if failed else None


def _sort_in(column: Column, found: Roles) -> None:
    """Make a column a reading, or note the reason why it is none."""
    why = next(_reasons(column, found), None)
    if why is not None:
        found.left_out[column.name] = why
        return
    found.readings.append(column)
    if _SETTING.search(plain(column.name)):
        found.settings.add(column.name)


def _reasons(column: Column, found: Roles) -> Iterator[str]:
    """Yield the reasons why a column is no reading, the first one that applies first."""
    if column.name in found.devices[1:] and (column.words is None or column.leading_zeros):
        yield "seems to be another id of the device or the row"
    if column.ways or column.clock:
        yield "a time"
    if column.numbers == 0 and not column.strange:
        yield "no value in any row"
    if column.strange:
        yield _text(column)
    if not column.is_number:
        yield f"values from {column.low:g} to {column.high:g}: a reading must be from -1e30 to 1e30"
    if column.is_constant:
        yield f"constant, {column.low:g}"
    if column.leading_zeros:
        yield "numbers with leading zeros are rather names"
    if _RUN.search(plain(column.name)) and column.whole and column.low >= 0:
        yield f"may number the runs of a device: then write run: {column.name} into the mapping"


def _text(column: Column) -> str:
    """Return the reason why a column that is not all numbers is no reading."""
    if column.numbers > 9 * max(len(column.strange), 1) and (
        column.words is None or column.numbers > 0.5 * column.rows
    ):
        return f"mostly numbers, but also {listed(column.strange, 3)}: if these mean no value, list them under missing"
    if column.words is None:
        return f"text with many values, such as {listed(column.strange, 3)}"
    if column.is_constant:
        return f"constant, {listed(column.words)}"
    numbered = ", ".join(f"{_shown(word)}: {i}" for i, word in enumerate(w for w in column.words if w.strip()))
    return (
        f"a category, which is no reading yet; to use it as a number, write values: {{{numbered}}} in the mapping file"
    )


def _shown(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", word) else repr(word)
