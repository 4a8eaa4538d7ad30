"""Decides whether a training is due. Pure functions, and what they, and the gates, read from the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimaas.fleet import FleetSpec
    from aimaas.settings import Settings


def why_not_due(
    run_type: str, outcomes: int, outcomes_before: int, needed: int, refused_again: str | None = None
) -> str | None:
    """Return why this run should not train; None if it should.

    `outcomes` is the number known now, `outcomes_before` the number known at the last training. A run that new gold started
    (`run_type` asset_triggered, as text or as Airflow's enumeration) trains if at least `needed` outcomes are new. A scheduled or
    manual run needs one outcome in all, because training itself checks `training.minimum` of the fleet file. `refused_again` is
    the reason of the last refused training if nothing has changed since: only a manual run repeats such a training.
    """
    if outcomes == 0:
        return "no outcome of any device is known yet"
    new = outcomes - outcomes_before
    if run_type == "asset_triggered" and new < needed:
        return f"{new} new outcomes since the last training, {needed} are needed (schedule.train_after_outcomes)"
    if run_type != "manual" and refused_again is not None:
        return f"neither gold nor the fleet file has changed since the last training was refused: {refused_again}"
    return None


def outcomes_before(last: Mapping[str, Any], table: str | None, known: int) -> int:
    """Return the number of outcomes known at the last training: 0 if a reset of the fleet has deleted them since.

    `last` is the `extra` of the newest model's asset event, which a reset leaves. `table` is the id of the table of outcomes now,
    `known` its number of outcomes. An event of an earlier release has no id: a reset shows if it knew more outcomes than there are.
    """
    before, counted_in = int(last.get("outcomes", 0)), last.get("outcomes_table")
    deleted = before > known if counted_in is None else counted_in != table
    return 0 if deleted else before


def known_outcomes(settings: Settings, fleet: FleetSpec) -> int:
    """Return how many outcomes the lake has. One that was sent again counts once."""
    from aimaas.lake import read_table

    found = read_table(settings, fleet.fleet, "outcomes", columns=["device_id", "run", "order"])
    return int(found.group_by(["device_id", "run", "order"]).aggregate([]).num_rows)


def published_now(settings: Settings, fleet: FleetSpec, table: Literal["silver", "gold"]) -> dict[str, Any]:
    """Return the published part of a table: offsets and the version of outcomes for silver, the version for gold.

    The id of the table makes it another part after a reset of the fleet, when offsets and versions begin again.
    """
    from aimaas.lake import offsets_json, table_id, table_version
    from aimaas.lake.audits import published_gold, published_offsets

    whose = {"table": table_id(settings, fleet.fleet, table)}
    if table == "silver":
        outcomes = table_version(settings, fleet.fleet, "outcomes")
        return {"offsets": offsets_json(published_offsets(settings, fleet)), "outcomes": outcomes, **whose}
    newest = table_version(settings, fleet.fleet, "gold")
    return {"version": None if newest is None else published_gold(settings, fleet, newest), **whose}
