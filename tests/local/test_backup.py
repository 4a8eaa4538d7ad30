"""A home that was lost with its disk comes back from its backup, and goes on: each event keeps its one prediction."""

from __future__ import annotations

import argparse
import json
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimaas.lake import read_table
from aimaas.registry.versions import load_artefact
from aimaas.settings import Settings
from cli.app import app
from local.backup import MANIFEST, BackupError, backup, restore
from local.broker import find_broker, start_broker
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from tests.published import gold
from tests.stream.conftest import open_line, register_model, tiny_model


@pytest.fixture
def home(offline_settings: Settings) -> Settings:
    """A home with some files, of which one is private and one is empty."""
    root = offline_settings.home
    for name, text in {
        "lake/f/gold/_delta_log/0.json": "{}",
        "kafka/data/meta.properties": "id=1",
        "empty": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "replay.key").write_text("secret")
    (root / "replay.key").chmod(0o600)
    (root / "kafka" / "data" / "iot.f.events-0").mkdir()
    (root / "stack.env").write_text("AIMAAS_KAFKA_BOOTSTRAP_SERVERS=gone:1\n")
    return offline_settings


def files(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        p.relative_to(root).as_posix(): (p.stat().st_mode, p.read_bytes() if p.is_file() else b"")
        for p in root.rglob("*")
    }


def test_what_is_restored_is_what_was_saved_but_for_what_ran(home: Settings, tmp_path: Path) -> None:
    (home.home / "spark").mkdir()
    (home.home / "spark" / "scratch").write_text("x")
    before = files(home.home)
    saved = backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    found = restore(home, tmp_path / "b.tar")

    expected = {name: kept for name, kept in before.items() if name.split("/")[0] not in ("stack.env", "spark")}
    assert files(home.home) == expected
    assert saved.files == len(found.files) == 4
    assert saved.elsewhere == {}
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


@pytest.mark.parametrize("fleet", ["spark", "supervisor", "airflow", "stack", "lost", "up"])
@pytest.mark.parametrize(
    "place", ["lake/{}/silver/part-0.parquet", "mlflow/artifacts/{}/model.onnx", "lake/mill/{}/x.pid.json"]
)
def test_what_is_left_out_is_a_path_and_no_name_that_a_fleet_may_have(
    home: Settings, tmp_path: Path, place: str, fleet: str
) -> None:
    path = home.home / place.format(fleet)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rows")
    backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    restore(home, tmp_path / "b.tar")

    assert path.read_bytes() == b"rows"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("fails", [False, True])
def test_only_its_owner_may_read_a_backup_while_it_is_written_and_after(
    home: Settings, tmp_path: Path, fails: bool
) -> None:
    modes: set[int] = set()

    def look(name: str, size: int) -> None:
        modes.update(mode(path) for path in tmp_path.glob("b.tar.*.part"))
        if fails and size:
            raise OSError(28, "No space left on device")

    with pytest.raises(BackupError, match="No space left") if fails else nullcontext():
        backup(home, tmp_path / "b.tar", look)

    assert modes == {0o600}
    assert [mode(path) for path in tmp_path.glob("b.tar*")] == ([] if fails else [0o600])


def test_nobody_else_reads_a_secret_while_it_is_restored(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    unpack, modes = tarfile.TarFile.extractall, []

    def watched(archive: tarfile.TarFile, path: Path, **options: Any) -> None:
        modes.append(mode(path))
        unpack(archive, path, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", watched)
    restore(home, tmp_path / "b.tar")

    assert modes == [0o700]
    assert mode(home.home / "replay.key") == 0o600


def torn(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def changed(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"id=1", b"id=2"))


def without_a_file(file: Path) -> None:
    other = file.with_suffix(".other")
    with tarfile.open(file) as old, tarfile.open(other, "w") as new:
        for entry in old:
            if not entry.name.endswith("meta.properties"):
                new.addfile(entry, old.extractfile(entry))
    other.rename(file)


def another(file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        archive.add(__file__, "x")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (torn, "torn|its end is missing"),
        (changed, "meta.properties is not as it was saved"),
        (without_a_file, "meta.properties is not as it was saved"),
        (another, "is not a backup"),
        (Path.unlink, "No such file"),
        (lambda file: file.write_text("no tar"), "is not a backup, or is torn"),
    ],
)
def test_a_backup_that_is_torn_or_changed_restores_nothing(
    harm: Callable[[Path], object], said: str, home: Settings, tmp_path: Path
) -> None:
    backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    harm(tmp_path / "b.tar")

    with pytest.raises(BackupError, match=said):
        restore(home, tmp_path / "b.tar")
    assert not home.home.exists() or not any(home.home.iterdir())


def test_a_restore_that_was_killed_is_done_again(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(home.home)
    backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    (home.home / ".restoring-1" / "home").mkdir(parents=True)
    restore(home, tmp_path / "b.tar")
    assert files(home.home).keys() == before.keys() - {"stack.env"}

    with pytest.raises(BackupError, match="is not empty: move its contents away"):
        restore(home, tmp_path / "b.tar")


def test_a_restore_accepts_a_freshly_mounted_disk_and_leaves_its_lost_and_found_alone(
    home: Settings, tmp_path: Path
) -> None:
    found_by_fsck = home.home / "lost+found" / "#12"
    found_by_fsck.parent.mkdir(mode=0o700)
    found_by_fsck.write_text("old disk")
    before = files(home.home)
    saved = backup(home, tmp_path / "b.tar")
    shutil.rmtree(home.home)
    found_by_fsck.parent.mkdir(mode=0o700, parents=True)
    found_by_fsck.write_text("new disk")
    restore(home, tmp_path / "b.tar")

    assert saved.files == 4
    assert files(home.home).keys() == before.keys() - {"stack.env"}
    assert found_by_fsck.read_text() == "new disk"


def test_a_backup_that_holds_a_lost_and_found_of_its_own_is_restored_beside_that_of_the_disk(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home.home / "lost+found").mkdir()
    (home.home / "lost+found" / "#12").write_text("old disk")
    with monkeypatch.context() as earlier_release:
        earlier_release.setattr("local.backup._LEFT_OUT", frozenset())
        assert backup(home, tmp_path / "b.tar").files == 6
    shutil.rmtree(home.home)
    (home.home / "lost+found").mkdir(parents=True)
    restore(home, tmp_path / "b.tar")

    assert (home.home / "replay.key").read_text() == "secret"
    assert list((home.home / "lost+found").iterdir()) == []


def test_a_home_with_a_file_beside_lost_and_found_is_not_restored_into(home: Settings, tmp_path: Path) -> None:
    (home.home / "lost+found").mkdir()
    backup(home, tmp_path / "b.tar")

    with pytest.raises(BackupError, match="is not empty: move its contents away"):
        restore(home, tmp_path / "b.tar")
    assert (home.home / "replay.key").read_text() == "secret"


def test_a_home_comes_back_to_where_it_was_and_what_lies_elsewhere_is_named(home: Settings, tmp_path: Path) -> None:
    with_lake = replace(home, lake="s3a://lake", mlflow_tracking_uri="postgresql://u:s3cret@db/mlflow")
    saved = backup(with_lake, tmp_path / "b.tar")

    assert saved.elsewhere == {"AIMAAS_LAKE": "s3a://lake", "AIMAAS_MLFLOW_TRACKING_URI": "db/mlflow"}
    with pytest.raises(BackupError, match=f"is a backup of {home.home}, .*restore with AIMAAS_HOME"):
        restore(replace(home, home=tmp_path / "other"), tmp_path / "b.tar")
    with pytest.raises(BackupError, match="exists already"):
        backup(home, tmp_path / "b.tar")
    with pytest.raises(BackupError, match="is inside AIMAAS_HOME"):
        backup(home, home.home / "b.tar")
    with tarfile.open(tmp_path / "b.tar") as archive:
        manifest = json.load(archive.extractfile(MANIFEST) or pytest.fail())
    assert b"s3cret" not in (tmp_path / "b.tar").read_bytes()
    assert manifest["home"] == str(home.home)


@pytest.fixture
def own_home(offline_settings: Settings, jars: Path) -> Iterator[Settings]:
    """Settings of a home with a broker of its own, which is stopped at the end."""
    broker = start_broker(offline_settings.home / "kafka", jars)
    settings = replace(offline_settings, kafka={"bootstrap.servers": broker.bootstrap_servers})
    yield settings
    if (found := find_broker(settings.home / "kafka", settings.jars)) is not None:
        found.process.kill()


def command(settings: Settings, fleets: Path, *arguments: str) -> Any:
    environment = {"AIMAAS_HOME": str(settings.home), "AIMAAS_FLEETS": str(fleets), "AIMAAS_JARS": str(settings.jars)}
    environment["AIMAAS_KAFKA_BOOTSTRAP_SERVERS"] = settings.bootstrap_servers
    return CliRunner().invoke(app, list(arguments), env=environment)


def lose_the_disk_and_bring_it_back(settings: Settings, folder: Path) -> None:
    """Save the home, delete it, restore it, and start its broker where it was."""
    file = str(folder / "b.tar")
    assert "still running: kafka;" in str(command(settings, folder, "backup", file).exception)
    running = find_broker(settings.home / "kafka", settings.jars)
    assert running is not None
    running.process.stop()
    assert command(settings, folder, "backup", file).exit_code == 0
    shutil.rmtree(settings.home)
    assert command(settings, folder, "restore", file).exit_code == 0
    start_broker(settings.home / "kafka", settings.jars, int(settings.bootstrap_servers.rsplit(":", 1)[1]))


@pytest.mark.broker
@pytest.mark.timeout(900)
def test_a_lost_disk_comes_back_and_the_fleet_goes_on_predicting(own_home: Settings, tmp_path: Path) -> None:
    with open_line(own_home, tmp_path, "backup") as line:
        announced = line.champion()
        content = tiny_model(line.fleet)
        version = register_model(own_home, line.fleet, tmp_path / "trained", content)
        events = line.events(devices=3)
        half = len(events) // 2
        line.send(events[:half])
        line.score_all(half)
        before = line.scored()
        lose_the_disk_and_bring_it_back(own_home, tmp_path)

        assert line.scored() == before
        assert load_artefact(own_home, line.fleet, version) == content
        line.send(events[half:])
        line.score_all(len(events))
        assert (line.scored(), line.letters()) == line.undisturbed(announced)


@pytest.mark.broker
@pytest.mark.spark
@pytest.mark.timeout(900)
def test_a_lost_disk_comes_back_with_its_lake_which_goes_on(own_home: Settings, tmp_path: Path, spark: Any) -> None:
    with open_line(own_home, tmp_path, "lake") as line:

        def to_gold() -> int:
            for work in (land, admit, gold):
                work(Job(work.__name__, own_home, line.fleet, argparse.Namespace(), start=lambda *_: spark))
            return int(read_table(own_home, line.fleet.fleet, "gold").num_rows)

        line.champion()
        events = line.events(devices=3)
        half = len(events) // 2
        line.send(events[:half])
        line.score_all(half)
        assert to_gold() == half
        lose_the_disk_and_bring_it_back(own_home, tmp_path)

        assert to_gold() == half
        line.send(events[half:])
        line.score_all(len(events))
        assert to_gold() == len(events)
        told = command(own_home, tmp_path, "reconcile", "--fleet", line.fleet.fleet, "--json")
        assert json.loads(told.stdout)["gaps"] == []
