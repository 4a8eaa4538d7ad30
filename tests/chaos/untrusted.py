"""Announcements that must never serve: a forged one, a torn file, and one that only a registry that is down could resolve."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec

from aimaas.records.events import MAX_SEQUENCE
from aimaas.registry.model_status import statuses
from aimaas.registry.signatures import make_keys
from aimaas.settings import Settings
from tests.stream.conftest import Line, tiny_model

NO_REGISTRY = "http://127.0.0.1:1"
WANTED = {("?", "passed_over"), ("7", "unreachable"), ("8", "refused"), ("1", "serves")}


def distrusting(settings: Settings) -> Settings:
    """The same with keys for announcements, and a registry that is down throughout."""
    signing, verify = make_keys()
    return replace(settings, signing_key=signing, verify_key=verify, mlflow_tracking_uri=NO_REGISTRY)


def announce_untrusted(line: Line) -> None:
    """Announce them with sequences above the champion's; all but the forged one are signed."""
    for version, sequence in (("9", 5), ("10", MAX_SEQUENCE)):
        forged = line.announcement(version, sequence, tiny_model(line.fleet, float(version)))
        line.send([(b"champion", msgspec.json.encode(forged))], line.names.models)
    content = tiny_model(line.fleet, 8.0)
    torn = line.announcement("8", 4, content)
    Path(torn.uri).write_bytes(content[: len(content) // 2])
    line.announce(torn)
    line.announce(
        msgspec.structs.replace(line.announcement("7", 3, b""), uri=f"models:/{line.fleet.fleet}/7", sha256="7" * 64)
    )


def served_versions(line: Line) -> set[str]:
    """The model versions that any prediction names. Fails unless scorers reported what became of each announcement."""
    reported = {(status.version, str(status.state)) for status in statuses(line.settings, line.fleet)}
    assert reported >= WANTED, reported
    return {json.loads(record.value or b"")["model_version"] for record in line.predictions()}
