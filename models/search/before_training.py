"""The search before each training, if the fleet file has one."""

from __future__ import annotations

from aimaas.errors import NothingFoundError
from aimaas.fleet import FleetSpec
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.stored_files import Place


def searched(settings: Settings, fleet: FleetSpec, training_set: Place) -> tuple[FleetSpec, list[FleetSpec]]:
    """Return the fleet with the best settings of its search; unchanged if its file has no search.

    Also returns, for each fold, the fleet with the settings that are best without the fold's held-out devices; none without a
    search. A search that finds nothing in its time is logged and does not stop the training.
    """
    asked = fleet.training.search
    if not (asked.trials or asked.minutes):
        return fleet, []
    from models.families.candidates import with_candidates
    from models.search.run import Budget, search

    budget = Budget(asked.trials or None, asked.minutes or None, asked.workers)
    try:
        found = search(settings, fleet, training_set, budget)
    except NothingFoundError as e:
        logger("train").warning("search found nothing, training continues with the fleet file's settings", why=str(e))
        return fleet, []
    without = [found.better_without(fold) for fold in range(fleet.training.folds)]
    best, *by_fold = (with_candidates(fleet, {**fleet.training.candidates, **b}) for b in (found.better(), *without))
    return best, by_fold
