"""Re-scoring history gives the stream's predictions, bit for bit."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimaas.admission.judge import Reason
from aimaas.errors import ModelRefusedError, RegistryError
from aimaas.lake import read_table, table_path
from aimaas.model.intervals import Intervals
from aimaas.settings import Settings
from cli.app import app, main
from spark_jobs.admit import admit
from spark_jobs.job import Job
from spark_jobs.land import land
from spark_jobs.rescore import as_served, find_artefact, rescore
from stream.devices.faults import Faults
from tests.stream.conftest import Line, open_line, register_model, tiny_model

pytestmark = [pytest.mark.broker, pytest.mark.spark]

INTERVALS = Intervals(0.9, (100.0, 200.0), (-1.5, -20.0, -33.3), (2.5, 0.1, 7.7), 10, "calibration")
ROOM = {"devices": 16, "silence_s": 3600}  # 8 in each of two partitions, so devices are forgotten and come back
AGREED = ("device_id", "run", "seq", "prediction", "lower", "upper", "model_version")


def registered(line: Line, content: bytes) -> str:
    """The version under which the registry has a file."""
    return register_model(line.settings, line.fleet, line.folder, content)


def job(line: Line, spark: Any, **arguments: Any) -> Job:
    return Job("test", line.settings, line.fleet, argparse.Namespace(**arguments), start=lambda *_: spark)


def rescored(line: Line) -> list[dict[str, Any]]:
    return list(read_table(line.settings, line.fleet.fleet, "rescored").to_pylist())


def by_source(rows: list[dict[str, Any]], version: str) -> dict[str, dict[str, Any]]:
    """What the table says with a version, by the event's coordinates; fails where an event is there twice."""
    mine = [row for row in rows if row["model_version"] == version]
    found = {f"{r['topic']}/{r['partition']}/{r['offset']}": {name: r[name] for name in AGREED} for r in mine}
    assert len(found) == len(mine)
    return found


def test_rescoring_says_what_the_stream_said_to_the_bit_and_a_repeat_writes_nothing_twice(
    settings: Settings, tmp_path: Path, spark: Any
) -> None:
    with open_line(settings, tmp_path, "rescore", limits=ROOM, quality={"refused_share": 1}) as line:
        line.intervals = INTERVALS
        events = line.events(devices=24)[:3_000]
        faults = Faults(
            line.fleet, dict.fromkeys((Reason.DUPLICATE, Reason.LATE), 20), len(events), 1, datetime.now(UTC)
        )
        sent = [(key, value) for key, value, _ in [*faults.feed(events), *faults.drain()]]
        version = registered(line, tiny_model(line.fleet, intervals=INTERVALS))
        line.champion(version)
        for part in (
            sent[:1_000],
            sent[1_000:],
        ):  # the second scorer goes on from what the first left in the state topic
            line.send(part)
            records = line.undisturbed(line.announcement(version, 1, tiny_model(line.fleet, intervals=INTERVALS)))
            line.score_all(len(records[0]), len(records[1]))
        said = {source: {name: p.get(name) for name in AGREED} for source, p in line.scored().items()}
        land(job(line, spark))
        admit(job(line, spark))

        environment = {
            "AIMAAS_HOME": str(line.settings.home),
            "AIMAAS_FLEETS": str(line.folder),
            "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
        }
        arguments = ["rescore", "--fleet", line.fleet.fleet, "--version", version]
        for _ in range(2):
            done = CliRunner().invoke(app, arguments, env=environment)
            assert done.exit_code == 0, done.output
            assert f"{len(said):,} predictions of version {version}" in done.output
            assert by_source(rescored(line), version) == said
        silver = read_table(line.settings, line.fleet.fleet, "silver", ["device_id", "run", "begins"])
        runs = set(zip(silver["device_id"].to_pylist(), silver["run"].to_pylist(), strict=True))
        assert sum(silver["begins"].to_pylist()) > len(runs), "devices were forgotten and began anew"

        other = registered(line, tiny_model(line.fleet, 2.0))
        today, day = datetime.now(UTC).date(), timedelta(days=1)
        counts = [
            rescore(job(line, spark, version=other, first=first, last=last))["rows"]
            for first, last in ((today - day, today), (today + day, None), (None, today - 2 * day))
        ]
        assert counts == [len(said), 0, 0]
        assert by_source(rescored(line), version) == said, "versions stand beside each other"
        found = by_source(rescored(line), other)
        assert found.keys() == said.keys() and all(row["lower"] is None for row in found.values())

        with pytest.raises(RegistryError, match="no version '9'"):
            rescore(job(line, spark, version="9", first=None, last=None))
        artefact, served = find_artefact(settings, line.fleet, version), spark.read.format("delta")
        served = served.load(f"{settings.lake}/{line.fleet.fleet}/silver")
        with pytest.raises(ModelRefusedError, match="reads 's2', which silver has no column for"):
            as_served(served.drop("s2"), artefact, None)
        check_order(spark, served, artefact)


def check_order(spark: Any, served: Any, artefact: Any) -> None:
    """A device that moved from partition 1 to 0 comes in the order in which it was taken, though its offsets and clock fall."""
    from pyspark.sql import functions as f

    (row,) = served.limit(1).collect()
    taken = [(1, 7, 0), (1, 8, 5), (1, 9, 3), (0, 4, 6), (0, 5, 6)]  # partition, offset, seconds
    rows = [
        row.asDict() | {"partition": p, "offset": o, "broker_ts": row["broker_ts"] + timedelta(seconds=s)}
        for p, o, s in taken
    ]
    moved = as_served(spark.createDataFrame(rows[::-1], served.schema), artefact, None)
    assert [(r["partition"], r["offset"]) for r in moved.select(f.col("partition"), "offset").collect()] == [
        t[:2] for t in taken
    ]


def test_a_torn_file_of_silver_ends_the_command_in_one_line(
    settings: Settings, tmp_path: Path, spark: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_line(settings, tmp_path, "torn") as line:
        line.send(line.events(devices=2)[:50])
        land(job(line, spark))
        admit(job(line, spark))
        file = next(Path(table_path(line.settings, line.fleet.fleet, "silver")).rglob("part-*.parquet"))
        os.truncate(file, file.stat().st_size // 2)
        version = registered(line, tiny_model(line.fleet))
        monkeypatch.setenv("AIMAAS_HOME", str(line.settings.home))
        monkeypatch.setenv("AIMAAS_FLEETS", str(line.folder))
        monkeypatch.setattr(sys, "argv", ["aimaas", "rescore", "--fleet", line.fleet.fleet, "--version", version])
        capfd.readouterr()

        with pytest.raises(SystemExit, match="1"):
            main()

        told = [text for text in capfd.readouterr().err.splitlines() if text.startswith("error: ")]
        assert len(told) == 1 and str(file) in told[0] and "cannot be read (torn or gone)" in told[0]
