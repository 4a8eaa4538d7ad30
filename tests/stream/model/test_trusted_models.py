"""What scorers serve of a models topic that others write to, on a real broker."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from aimaas.records.events import MAX_SEQUENCE
from aimaas.registry.model_status import statuses
from aimaas.registry.signatures import make_keys, signed
from stream.model import candidates
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from tests.artefacts import note_as_tried
from tests.stream.conftest import Line, tiny_model

pytestmark = pytest.mark.broker
LIMIT_S = 120.0


@contextmanager
def watching(line: Line, **settings: Any) -> Iterator[ModelWatcher]:
    watcher = ModelWatcher(replace(line.settings, **settings), line.fleet, "0")
    watcher.start()
    try:
        assert watcher.wait_for_end(LIMIT_S)
        yield watcher
    finally:
        watcher.stop()


def until(condition: Callable[[], Any]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def serves(watcher: ModelWatcher, version: str) -> bool:
    found: Model | None = watcher.newest()
    return found is not None and found.version == version


def test_what_is_not_signed_never_serves_and_hides_no_genuine_announcement(line: Line) -> None:
    signing, verify = make_keys()
    keyed = replace(line.settings, signing_key=signing)

    def announce(version: str, sequence: int, genuine: bool) -> None:
        content = tiny_model(line.fleet, float(version))
        made = line.announcement(version, sequence, content)
        note_as_tried(line.settings, line.fleet, content)
        line.announce(signed(made, line.fleet.fleet, keyed) if genuine else made)

    announce("1", 1, genuine=True)
    announce("9", 2, genuine=False)
    announce("9", MAX_SEQUENCE, genuine=False)
    line.send([(b"champion", b'{"sequence":' + b"9" * 5_000), (b"champion", None)], line.names.models)
    with watching(line, verify_key=verify) as watcher:
        assert serves(watcher, "1")
        assert watcher.passed_over == 3
        announce("2", 2, genuine=True)
        until(lambda: serves(watcher, "2"))
        announce("1", 1, genuine=True)  # a replay of what was genuine
        announce("3", 3, genuine=True)
        until(lambda: serves(watcher, "3"))
        assert watcher.refusals == 0

    found = {(s.version, s.state) for s in statuses(line.settings, line.fleet)}
    assert found == {("1", "serves"), ("2", "serves"), ("3", "serves"), ("?", "passed_over")}


def test_a_torn_file_is_refused_until_it_is_repaired_while_the_one_before_serves(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(candidates, "FIRST_PAUSE_S", 0.2)
    line.champion(version="1", sequence=1)
    second = line.announcement("2", 2, content := tiny_model(line.fleet, 2.0))
    note_as_tried(line.settings, line.fleet, content)
    Path(second.uri).write_bytes(content[:-7])
    line.announce(second)
    with watching(line) as watcher:
        assert serves(watcher, "1")
        until(lambda: any(s.state == "refused" for s in statuses(line.settings, line.fleet)))
        Path(second.uri).write_bytes(content)
        until(lambda: serves(watcher, "2"))
        assert watcher.refusals == 1
        until(lambda: {(s.version, s.state) for s in statuses(line.settings, line.fleet)} >= {("2", "serves")})


def test_a_place_outside_the_store_is_refused(line: Line, tmp_path: Path) -> None:
    made = line.champion(version="1", sequence=1)
    outside = tmp_path / "model.onnx"
    shutil.copy(made.uri, outside)
    line.announce(msgspec.structs.replace(made, version="2", sequence=2, uri=str(outside), at=datetime.now(UTC)))
    with watching(line) as watcher:
        assert serves(watcher, "1")
    (refused,) = [s for s in statuses(line.settings, line.fleet) if s.state == "refused"]
    assert refused.version == "2" and "not below the artefact store" in refused.reason


def test_a_scorer_starts_from_its_own_disk_while_store_and_registry_are_gone(line: Line) -> None:
    line.champion(version="1", sequence=1)
    with watching(line) as watcher:
        assert serves(watcher, "1")
    shutil.rmtree(line.settings.mlflow_artifacts)
    line.announce(msgspec.structs.replace(line.announcement("2", 2, b"x"), uri="models:/x/2"))
    shutil.rmtree(line.settings.mlflow_artifacts)
    line.send(line.events(devices=1)[:10])
    gone = "http://127.0.0.1:1"

    line.settings = replace(line.settings, mlflow_tracking_uri=gone)
    line.score_all(10)

    assert {p["model_version"] for p in line.scored().values()} == {"1"}
    found = {(s.version, s.state) for s in statuses(line.settings, line.fleet)}
    assert ("2", "unreachable") in found
