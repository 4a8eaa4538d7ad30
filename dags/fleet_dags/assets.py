"""The assets that connect a fleet's DAGs, and the asset that a Kafka record updates."""

from __future__ import annotations

from typing import Any

from airflow.providers.apache.kafka.triggers.await_message import AwaitMessageTrigger
from airflow.sdk import Asset, AssetWatcher

from aimaas.fleet import FleetSpec
from aimaas.topics import topic_names

_POLL_S = 0.5  # all triggers of a triggerer share one thread for this: short, so that many fleets get their turn

_SAYS = {
    "silver": "admitted events in the order of offsets, as the stream served them",
    "gold": "the corrected view, and the split; training reads it",
    "model": "the newest trained model, promoted or not",
}


def fleet_asset(fleet: str, name: str) -> Asset:
    """Return the asset of a fleet's table (`silver`, `gold`) or of its `model`.

    The `extra` of an asset event has the figures of its task: rows, versions, share in quarantine, address of the Data Docs.
    """
    return Asset(name=f"{fleet}_{name}", uri=f"aimaas://{fleet}/{name}", group=fleet, extra={"about": _SAYS[name]})


def outcomes_asset(fleet: FleetSpec) -> Asset:
    """Return the asset that a record on the fleet's outcomes topic updates while the DAG that waits for it is unpaused."""
    topic = topic_names(fleet).outcomes
    trigger = AwaitMessageTrigger(
        topics=[topic],
        apply_function="aimaas.kafka.wake_up.wake_up",
        kafka_config_id="kafka_default",
        poll_timeout=_POLL_S,
        poll_interval=0,  # after a record that starts no run, the next record is read at once
    )
    return Asset(
        name=f"{fleet.fleet}_outcomes",
        uri=f"aimaas://{fleet.fleet}/outcomes",
        group=fleet.fleet,
        extra={"about": f"a record on {topic} starts the ingest DAG"},
        watchers=[AssetWatcher(name=f"{fleet.fleet}_outcomes", trigger=trigger)],
    )


def newest_extra(events: Any) -> dict[str, Any]:
    """Return the `extra` of an asset's newest event; empty before its first.

    `events` is the entry of an inlet in Airflow's `inlet_events`. Airflow keeps all events of an asset and would send them all.
    """
    newest = events.ascending(False).limit(1)
    return dict(newest[0].extra) if len(newest) else {}
