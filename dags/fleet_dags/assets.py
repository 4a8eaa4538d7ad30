"""The assets that tie a fleet's DAGs together."""

from __future__ import annotations

from airflow.sdk import Asset


def fleet_asset(fleet: str, name: str) -> Asset:
    """Return the asset of a table (`silver`, `gold`) or of the `model` of a fleet."""
    return Asset(name=f"{fleet}_{name}", uri=f"aimaas://{fleet}/{name}", group=fleet)
