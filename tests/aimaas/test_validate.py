"""`aimaas fleets validate`: a mistake that training would stumble over is one line, found beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from aimaas.cli.app import app
from aimaas.errors import FleetFileError
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
