"""The benchmarks of the models run end to end on small data and print the keys they promise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from aimaas.fleet import load_fleet
from stream.devices.simulator import simulate
from tests.conftest import FLEETS

PROJECT = Path(__file__).resolve().parents[2]
HEADER = "UDI,Product ID,Type,Air temperature [K],Process temperature [K],Rotational speed [rpm],Torque [Nm],Tool wear [min],"
LABELS = "Machine failure,TWF,HDF,PWF,OSF,RNF"


def figures(name: str, *options: str) -> dict[str, Any]:
    """The last line of a benchmark."""
    command = [sys.executable, str(PROJECT / "benchmarks" / name), *options]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def engines(count: int, first: int) -> list[npt.NDArray[np.float64]]:
    """Tables of simulated engines (rows, 26) as C-MAPSS has them, numbered from 1."""
    found = simulate(load_fleet(FLEETS / "turbofan.yaml"), count, 7, first)
    tables = []
    for i in range(count):
        values = found.values[(found.device == i) & (found.run == 0)]
        n = len(values)
        tables.append(np.column_stack([np.full(n, i + 1), np.arange(1, n + 1), values]))
    return tables


def write_cmapss(folder: Path) -> None:
    """30 training engines and 8 test engines in the published form."""
    whole, test = engines(30, 0), engines(8, 500)
    left = [min(60, len(t) - 40) for t in test]
    np.savetxt(folder / "train_FD001.txt", np.concatenate(whole), "%.8g")
    np.savetxt(folder / "test_FD001.txt", np.concatenate([t[:-n] for t, n in zip(test, left, strict=True)]), "%.8g")
    np.savetxt(folder / "RUL_FD001.txt", left, "%d")


def test_the_benchmark_on_c_mapss_trains_on_the_training_file_and_is_judged_at_the_last_rows(tmp_path: Path) -> None:
    write_cmapss(tmp_path)
    found = figures("cmapss.py", "--data", str(tmp_path), "--subset", "FD001")
    assert found["rmse_by_seed"] == [found["rmse"]]
    assert 0 < found["rmse"] < 40 and 0 < found["cv_rmse"] < 40
    assert found["phm_score"] > 0 and found["seconds"] > 0


@pytest.mark.long
def test_the_benchmark_of_intervals_judges_every_band_on_test_engines_and_on_simulated_ones(tmp_path: Path) -> None:
    write_cmapss(tmp_path)
    found = figures("cmapss_intervals.py", "--data", str(tmp_path), "--subsets", "FD001", "--simulated", "120")
    for judged, engines_judged in ((found["subsets"]["FD001"], 8), (found["simulated"], 120)):
        assert judged["source"] == "nested cross-validation"
        assert max(b["engines"] for b in judged["bands"]) <= engines_judged
        for band in (b for b in judged["bands"] if b["engines"] > 1):
            assert 0 <= band["low"] <= band["coverage"] <= band["high"] <= 1
            assert band["contains"] == (band["low"] <= 0.9 <= band["high"])
    assert found["every_band_contains"] == all(b["contains"] is not False for b in found["subsets"]["FD001"]["bands"])
    assert 0.5 < found["simulated_lowest"] <= found["simulated_highest"] <= 1


@pytest.mark.long
def test_the_benchmark_on_ai4i_scores_every_row_out_of_fold(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    lines = [HEADER + LABELS]
    for i in range(600):
        torque, wear = random.uniform(10, 70), random.uniform(0, 250)
        failed = int(torque * wear > 11_000)
        lines.append(f"{i + 1},L{i},L,300,310,1500,{torque:.1f},{wear:.0f},{failed},0,0,0,{failed},0")
    path = tmp_path / "ai4i2020.csv"
    path.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    found = figures("ai4i.py", "--data", str(path))
    assert found["rows"] == 600 and found["failures"] > 30
    assert found["pr_auc"] > 0.8 and found["recall_at_1pct_fpr"] > 0.7


@pytest.mark.long
def test_the_benchmark_of_inference_times_every_form_and_says_what_compression_costs() -> None:
    found = figures("inference.py", "--devices", "30")
    assert found["us_per_row"].keys() == {"scikit-learn", "exported", "optimised", "compressed"}
    assert all(us.keys() == {"1", "64", "1024"} and min(us.values()) > 0 for us in found["us_per_row"].values())
    assert found["speedup"] == min(found["speedup_by_batch"].values()) > 0
    assert abs(found["rmse_change"]) < 0.2 and found["form"]


def test_the_benchmark_of_promotions_lives_through_years_by_both_rules() -> None:
    found = figures("promotions.py", "--quick")
    for task in ("remaining_useful_life", "failure_within"):
        equal, better = (
            found[what][task]["20"] for what in ("years_with_equal_promoted", "days_until_better_promoted")
        )
        assert equal["spent"] <= 0.2, "of ten years"
        assert equal["before"] >= 0.6
        assert 1 <= better["before"]["median"] < 30


def test_the_benchmark_of_censoring_judges_both_rules_on_fleets_of_known_truth() -> None:
    found = figures("censoring.py", "--quick", "--kinds", "memoryless")
    life = found["max_bias_by_age"]["remaining_life"]
    assert life["weighted"] < life["before"]
    assert 0 <= found["calibration_error"]["failure_within"]["weighted"] < 0.2
