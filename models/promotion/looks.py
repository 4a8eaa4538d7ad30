"""Looks at a champion: the level of each comparison, so that a year of comparisons stays within the fleet file's budget.

Each night another challenger is compared on nearly the same test devices. A fixed level would sooner or later promote a model
that is no better. So `gates.false_promotions` is spent (Lan & DeMets: Discrete sequential boundaries for clinical trials,
1983). Half of it goes to the looks at a champion: the k-th look gets 1 / (k (k + 1)) of that half. The other half is spread
evenly over the days. The levels of a champion's first year add up to at most `gates.false_promotions`, for any number of looks
and any dependence between them (Boole's inequality).

A look is a tag of the challenger's version in the registry: the same version compared again is the same look.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from aimaas.fleet import FleetSpec
from aimaas.registry.mlflow_store import client as client_of
from aimaas.registry.mlflow_store import locked, versions_of
from aimaas.registry.versions import Champion
from aimaas.settings import Settings

YEAR = timedelta(days=365)

_TAG = "aimaas.look."  # + the champion's version, or `none`


class Look(msgspec.Struct, frozen=True):
    """The `number`-th comparison with a champion, and the largest p-value that promotes at it."""

    number: int
    at: datetime
    level: float


def next_look(last: Look | None, began: datetime | None, false_promotions: float, now: datetime) -> Look:
    """Return the look after `last`, at a champion that serves since `began`; None before the first look, and without a champion."""
    number = last.number + 1 if last else 1
    since = max((at for at in (began, last.at if last else None) if at is not None), default=now)
    years = min(max((now - since) / YEAR, 0.0), 1.0)
    return Look(number, now, false_promotions / 2 * (1 / (number * (number + 1)) + years))


def take_look(
    settings: Settings, fleet: FleetSpec, version: str, champion: Champion | None, now: datetime | None = None
) -> Look:
    """Count the comparison of a version with the champion once: the same version gets the same look again."""
    tag = _TAG + (champion.version if champion else "none")
    with locked(settings, fleet.fleet), client_of(settings) as client:
        looks = _looks(client, fleet.fleet, tag)
        if version in looks:
            return looks[version]
        last = max(looks.values(), key=lambda look: look.number, default=None)
        began = champion.at if champion else None
        look = next_look(last, began, fleet.gates.false_promotions, now or datetime.now(UTC))
        client.set_model_version_tag(fleet.fleet, version, tag, msgspec.json.encode(look).decode())
        return look


def _looks(client: Any, fleet: str, tag: str) -> dict[str, Look]:
    """Return looks by the challenger's version."""
    found = versions_of(client, fleet)
    return {str(v.version): msgspec.json.decode(v.tags[tag], type=Look) for v in found if tag in v.tags}
