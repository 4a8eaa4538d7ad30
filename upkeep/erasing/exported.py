"""The SQL statement that erases a device from the table of `aimaas export`. The command knows the address of no database."""

from __future__ import annotations

from stream.export.tables import PREDICTIONS


def delete_statement(fleet: str, device: str) -> str:
    """Return the DELETE of one line for the exported predictions of a device, for any SQL database with standard strings."""
    quoted = device.replace("'", "''")
    return f"DELETE FROM {PREDICTIONS.name} WHERE fleet = '{fleet}' AND device_id = '{quoted}'"  # noqa: S608  # for a person to run
