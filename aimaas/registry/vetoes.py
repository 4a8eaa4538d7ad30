"""Vetoes: models that are not promoted, whatever their metrics are, until a person lifts the veto.

A veto belongs to a file, by its SHA-256, so that the same bytes stay vetoed if they are trained or registered again. Each veto is a
tag of the registered model. The functions take MLflow's client, and are called under the registry's lock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

_PREFIX = "aimaas.veto."  # + SHA-256
_WHY_CHARACTERS = 1_000  # a tag of MLflow may have some thousand

BY_ROLLBACK = "it was rolled back"


class Veto(msgspec.Struct, frozen=True):
    """A veto: the version that it was given for, when (UTC) and why."""

    version: str
    at: datetime
    why: str

    def __str__(self) -> str:
        return f"vetoed at {self.at:%Y-%m-%dT%H:%M:%SZ}: {self.why}"


def vetoes(client: Any, fleet: str) -> dict[str, Veto]:
    """The fleet's vetoes by SHA-256; none before the first registration."""
    found = client.search_registered_models(f"name='{fleet}'")
    tags = found[0].tags if found else {}
    return {
        name.removeprefix(_PREFIX): msgspec.json.decode(text, type=Veto)
        for name, text in tags.items()
        if name.startswith(_PREFIX)
    }


def add_veto(client: Any, fleet: str, sha256: str, veto: Veto) -> None:
    """Set a veto; an earlier veto of these bytes is replaced."""
    short = msgspec.structs.replace(veto, why=veto.why[:_WHY_CHARACTERS])
    client.set_registered_model_tag(fleet, _PREFIX + sha256, msgspec.json.encode(short).decode())


def lift_veto(client: Any, fleet: str, sha256: str) -> None:
    """Remove an existing veto."""
    client.delete_registered_model_tag(fleet, _PREFIX + sha256)
