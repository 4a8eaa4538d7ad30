"""Decides whether a training is due. A pure function, and the count that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def known_outcomes(settings: Settings, fleet: FleetSpec) -> int:
    """Return how many outcomes the lake has. One that was sent again counts once."""
    from aimaas.lake import read_table

    found = read_table(settings, fleet.fleet, "outcomes", columns=["device_id", "run", "order"])
    return int(found.group_by(["device_id", "run", "order"]).aggregate([]).num_rows)
