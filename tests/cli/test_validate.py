"""`aimaas fleets validate`: a mistake that training would stumble over is one line, found beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from aimaas.errors import FleetFileError
from cli import options
from cli.app import app
from tests.models.conftest import pump_fleet


@pytest.mark.parametrize(
    ("training", "line"),
    [
        ({"candidates": {"ridge": {}, "blend": {"of": 5}}}, "training.candidates.blend.of: found 5, allowed: a list of at "),
        ({"candidates": {"ridge": {}, "blend": {"of": None}}}, "training.candidates.blend.of: found None, allowed: a list"),
        ({"candidates": {"ridge": {}, "stack": {"of": [["x"], "y"]}}}, "training.candidates.stack.of: found [['x'], 'y'], "),
        ({"candidates": {"ridge": {"l2": float("inf")}}}, "training.candidates.ridge.l2: found inf, allowed: input"),
        ({"candidates": {"mlp": {"hidden": [8], "l2": float("inf")}}}, "training.candidates.mlp.l2: found inf, allowed: input"),
        ({"seed": -1}, "training.seed: found -1, allowed: at least 0"),
        ({"seed": 2**32}, "training.seed: found 4294967296, allowed: at most 2.1"),
    ],
)  # fmt: skip
def test_what_training_would_stumble_over_is_one_line(tmp_path: Path, training: dict[str, Any], line: str) -> None:
    told = pump_fleet().model_dump(mode="json", exclude_unset=True)
    told["training"] |= training
    (tmp_path / "pump.yaml").write_text(yaml.safe_dump(told))
    done = CliRunner().invoke(app, ["fleets", "validate", str(tmp_path / "pump.yaml")])
    assert isinstance(done.exception, FleetFileError), done.output
    assert len(done.exception.mistakes) == 1 and line in done.exception.mistakes[0]


@pytest.mark.parametrize("seed", [0, 2**31])
def test_every_seed_that_passes_can_be_trained_with(tmp_path: Path, seed: int) -> None:
    told = pump_fleet().model_dump(mode="json", exclude_unset=True)
    told["training"] |= {"seed": seed}
    (tmp_path / "pump.yaml").write_text(yaml.safe_dump(told))
    assert CliRunner().invoke(app, ["fleets", "validate", str(tmp_path / "pump.yaml")]).exit_code == 0


def test_every_file_has_its_verdict_and_one_bad_file_makes_the_exit_code(tmp_path: Path) -> None:
    good, bad = tmp_path / "pump.yaml", tmp_path / "valve.yaml"
    told = pump_fleet().model_dump(mode="json", exclude_unset=True)
    good.write_text(yaml.safe_dump(told))
    told["training"]["candidates"] = {"rigde": {}, "boosting": {"depht": 3}}
    bad.write_text(yaml.safe_dump({**told, "version": 0, "schedule": {"ingest": "99 * * * *"}}))
    done = CliRunner().invoke(app, ["fleets", "validate", str(bad), str(good)])
    assert isinstance(done.exception, FleetFileError) and done.exit_code == 1
    assert [line.partition(": ")[2][:11] for line in done.output.splitlines()] == ["4 mistakes", "ok: fleet p"]
    assert [line.removeprefix(f"{bad}: ").split(": ")[0] for line in done.exception.mistakes] == [
        "version", "schedule.ingest", "training.candidates.boosting.depht", "training.candidates.rigde"
    ]  # fmt: skip


def test_without_files_the_folder_of_fleets_is_checked_names_and_cron_expressions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMAAS_FLEETS", str(tmp_path))
    told = pump_fleet().model_dump(mode="json", exclude_unset=True)
    (tmp_path / "valve.yaml").write_text(yaml.safe_dump({**told, "schedule": {"ingest": "99 * * * *"}}))
    done = CliRunner().invoke(app, ["fleets", "validate"])
    assert isinstance(done.exception, FleetFileError)
    path = tmp_path / "valve.yaml"
    assert done.exception.mistakes == [
        f"{path}: schedule.ingest: found '99 * * * *', allowed is a cron expression",
        f"{path}: fleet: found 'pump', allowed 'valve', the name of the file",
    ]


def test_a_broken_file_is_a_warning_to_commands_of_other_fleets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMAAS_FLEETS", str(tmp_path))
    told = pump_fleet().model_dump(mode="json", exclude_unset=True)
    (tmp_path / "pump.yaml").write_text(yaml.safe_dump(told))
    (tmp_path / "valve.yaml").write_text("fleet: valve")
    for command in (["schema", "--fleet", "pump"], ["list"]):
        options._warned.clear()  # each command is a process of its own
        done = CliRunner().invoke(app, ["fleets", *command])
        assert done.exit_code == 0 and "pump" in done.stdout
        assert done.stderr.count("warning: ") == 1 and str(tmp_path / "valve.yaml") in done.stderr
