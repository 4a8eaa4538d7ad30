"""The same data, code and seed give the same bytes, also in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from aimaas.fleet import FleetSpec, load_fleet
from aimaas.settings import Settings
from tests.conftest import FLEETS
from tests.models.conftest import pump_fleet

MakeSet = Callable[..., Path]

_TRAIN = """
import sys
from pathlib import Path
from aimaas.fleet import load_fleet
from aimaas.settings import read_settings
from models.training.train import train
fleet, training_set, out = map(Path, sys.argv[1:])
report = train(read_settings(), load_fleet(fleet), training_set, out)
print(report.chosen, report.sha256)
"""


def start(settings: Settings, fleet: Path, training_set: Path, out: Path, hash_seed: str) -> subprocess.Popen[str]:
    """A process of its own that trains and says what came of it."""
    environ = {**os.environ, "AIMAAS_HOME": str(settings.home), "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", _TRAIN, str(fleet), str(training_set), str(out)]
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, text=True)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["turbofan", "mill"])
def test_two_processes_train_the_default_candidates_to_the_same_bytes(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path, name: str
) -> None:
    defaults = load_fleet(FLEETS / f"{name}.yaml").training.candidates
    fleet = pump_fleet({k: v for k, v in defaults.items() if k != "ridge"}, classify=name == "mill")
    check_both(offline_settings, fleet, training_set(fleet, 24), tmp_path)


def test_two_processes_train_a_small_blend_to_the_same_bytes(
    offline_settings: Settings, training_set: MakeSet, tmp_path: Path
) -> None:
    fleet = pump_fleet({"boosting": {"trees": 10}, "mlp": {"networks": 1, "epochs": 3, "hidden": [16]}, "blend": {}})
    check_both(offline_settings, fleet, training_set(fleet, 24), tmp_path)


def check_both(settings: Settings, fleet: FleetSpec, folder: Path, tmp_path: Path) -> None:
    """Train in two processes whose hashes have other seeds."""
    path = tmp_path / "pump.yaml"
    path.write_text(yaml.safe_dump(fleet.model_dump(mode="json")))
    both = [start(settings, path, folder, tmp_path / s, s) for s in ("1", "2")]
    said = [process.communicate(timeout=500)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    assert (tmp_path / "1" / "model.onnx").read_bytes() == (tmp_path / "2" / "model.onnx").read_bytes()
