"""Write the network that test_sequence_model.py serves (`.venv-deep/bin/python -m tests.deep.make_served_network`)."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from aimaas.settings import read_settings
from models.training.train import train
from tests.models.conftest import freeze, histories, labelled, pump_fleet

SERVED = Path(__file__).parents[1] / "stream" / "model" / "cnn_of_pumps.onnx"
CANDIDATES = {"cnn": {"channels": [8], "kernel": 3, "networks": 1, "epochs": 8}}


def main() -> None:
    """Train a small network on forty pumps that wear out."""
    fleet = pump_fleet(CANDIDATES)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        rows = freeze(fleet, home / "training_set", labelled(fleet, histories(40, 1)))
        report = train(read_settings({"AIMAAS_HOME": folder}), fleet, rows, home / "trained")
        SERVED.write_bytes((home / "trained" / "model.onnx").read_bytes())
    sys.stdout.write(f"{SERVED}: rmse {report.metrics['rmse']:.2f} cycles\n")


if __name__ == "__main__":
    main()
