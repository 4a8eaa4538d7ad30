"""The assets that tie a fleet's DAGs together, and the one that Kafka itself brings up to date."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.kafka.triggers.await_message import AwaitMessageTrigger
from airflow.sdk import Asset, AssetWatcher

from aimaas.fleet import FleetSpec
from aimaas.topics import topic_names

_POLL_S = 0.5  # all triggers of a triggerer share one thread for this: short, so that many fleets get their turn

_SAYS = {
    "silver": "events as served: admitted, in the order of offsets",
    "gold": "the corrected view with the split: what training reads",
    "model": "the newest model that was trained, promoted or not",
}


def fleet_asset(fleet: str, name: str) -> Asset:
    """Return the asset of a table (`silver`, `gold`) or of the `model` of a fleet.

    An event's `extra` says what the task that made it saw: rows, versions, share in quarantine, the page to read.
    """
    return Asset(name=f"{fleet}_{name}", uri=f"aimaas://{fleet}/{name}", group=fleet, extra={"about": _SAYS[name]})


def outcomes_asset(fleet: FleetSpec) -> Asset:
    """Return the asset that a record on the fleet's topic of outcomes updates, as long as the DAG that waits for it is unpaused."""
    topic = topic_names(fleet).outcomes
    trigger = AwaitMessageTrigger(
        topics=[topic],
        apply_function="aimaas.wake_up.wake_up",
        kafka_config_id="kafka_default",
        poll_timeout=_POLL_S,
        poll_interval=0,  # after a record that wakes nobody the next is read at once
    )
    return Asset(
        name=f"{fleet.fleet}_outcomes",
        uri=f"aimaas://{fleet.fleet}/outcomes",
        group=fleet.fleet,
        extra={"about": f"wakes the ingest up: a record on {topic}"},
        watchers=[AssetWatcher(name=f"{fleet.fleet}_outcomes", trigger=trigger)],
    )


def newest_extra(events: Any) -> dict[str, Any]:
    """Return the `extra` of an asset's newest event; nothing before its first.

    `events` are what Airflow's `inlet_events` has for an inlet. Airflow keeps all events of an asset and would send them all.
    """
    newest = events.ascending(False).limit(1)
    return dict(newest[0].extra) if len(newest) else {}
