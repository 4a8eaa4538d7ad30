"""Days of silver that were rebuilt and have not passed a gate since: gold continues without the changes of the rebuild.

The rebuild job records a day before it replaces rows of it, and the task `check_day` records the verdict. The verdicts are in the
table `audits`, as those of tables are. While a day waits or has failed, gold keeps its old content of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import msgspec

from aimaas.errors import LakeError
from aimaas.fleet import FleetSpec
from aimaas.lake.audits import Audit, Failure, Verdict, audits_of, begin_audits, next_number, record
from aimaas.lake.tables import find_table, table_path
from aimaas.settings import Settings

_HELD: tuple[Verdict, ...] = ("rebuilt", "failed")


@dataclass(frozen=True)
class DayVerdict:
    """The verdict on a day, who gave it and when; a person gives a reason, a gate gives failures and a page."""

    verdict: Verdict
    by: str
    at: datetime
    why: str = ""
    failures: tuple[Failure, ...] = ()
    docs: str = ""


def held_days(settings: Settings, fleet: FleetSpec) -> list[Audit]:
    """The newest audit of each day that gold must not take up, by day (`made_of`)."""
    newest = {audit.made_of: audit for audit in audits_of(settings, fleet, "day")}
    return [newest[day] for day in sorted(newest) if newest[day].verdict in _HELD]


def held_day(settings: Settings, fleet: FleetSpec, day: date) -> Audit | None:
    """The audit of a day that gold must not take up; None if it may, or if the day was not rebuilt."""
    return next((audit for audit in held_days(settings, fleet) if audit.made_of == str(day)), None)


def note_rebuilt(settings: Settings, fleet: FleetSpec, day: date, now: datetime) -> None:
    """Record that rows of a day are about to be replaced. Raises LakeError if there is no silver."""
    begin_audits(settings, fleet, now)
    silver = find_table(settings, fleet.fleet, "silver")
    if silver is None:
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'silver')}: no such table; run the land and admit jobs first"
        )
    audit = Audit(
        number=next_number(settings, fleet, "day"), table="day", verdict="rebuilt", start="{}", end="{}", version=silver.version(),
        table_id=str(silver.metadata().id), made_of=str(day), at=now, by="the rebuild job",
    )  # fmt: skip
    record(settings, fleet, [audit])


def settle_day(settings: Settings, fleet: FleetSpec, held: Audit, found: DayVerdict) -> Audit:
    """Record the verdict on a held day. If a person resolves it, failures and page are kept.

    Raises LakeError if the day was rebuilt, judged or resolved meanwhile.
    """
    number, now_held = next_number(settings, fleet, "day"), held_day(settings, fleet, date.fromisoformat(held.made_of))
    if now_held != held:
        raise LakeError(
            f"{fleet.fleet}: {held.made_of} was rebuilt, judged or resolved meanwhile; run `aimaas gate show` again"
        )
    audit = msgspec.structs.replace(
        held, number=number, verdict=found.verdict, by=found.by, at=found.at, why=found.why,
        failures=found.failures or held.failures, docs=found.docs or held.docs,
    )  # fmt: skip
    record(settings, fleet, [audit])
    return audit


def check_taken_up(settings: Settings, fleet: FleetSpec) -> None:
    """Raise LakeError if gold must be written as a whole while a day is held back: gold would take up that day's rows."""
    held = held_days(settings, fleet)
    if held:
        days = ", ".join(
            f"{a.made_of} ({'failed its gate' if a.verdict == 'failed' else 'not judged yet'})" for a in held
        )
        raise LakeError(
            f"{table_path(settings, fleet.fleet, 'gold')}: must be written as a whole, but rebuilt days are held back: {days}; "
            f"`aimaas gate check --fleet {fleet.fleet} --day DAY` judges a day, `aimaas gate acknowledge --day DAY` accepts it as "
            "it is"
        )
