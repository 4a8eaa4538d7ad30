"""A benchmark runs end to end and says what it promises; what it counts by is right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from aimaas.kafka import Record
from stream_bench.account import Account, account_copies, account_predictions
from stream_bench.events import Load
from stream_bench.figures import summary

PROJECT = Path(__file__).resolve().parents[2]
KEYS = ("scorer_ev_s", "raw_ev_s", "hand_ev_s", "scorer_over_hand", "scorer_over_raw")
STEPS = ("fetch", "decode", "judge", "features", "inference", "encode", "produce", "commit", "rest")


@pytest.mark.long
@pytest.mark.broker
def test_the_throughput_benchmark_scores_with_all_contenders_and_prints_its_figures_as_one_line_of_json() -> None:
    command = [sys.executable, str(PROJECT / "benchmarks" / "stream_throughput.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    for key in KEYS:
        assert 0 < figures[f"{key}_min"] <= figures[key] <= figures[f"{key}_max"]
    assert all(figures["profile_us"][step] > 0 for step in STEPS)
    assert "scorer_over_hand" in done.stderr


@pytest.mark.broker
def test_the_replay_benchmark_sends_a_table_and_says_how_fast_and_in_how_much_memory() -> None:
    command = [sys.executable, str(PROJECT / "benchmarks" / "replay_file.py"), "--mb", "3", "--engines", "50"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["rows"] > figures["tenth_rows"] > 0
    assert figures["replay_rows_s"] > 0
    assert 0 < figures["replay_peak_mb"] < 200
    assert 0 < figures["check_peak_mb"] < 300


@pytest.mark.long
def test_the_benchmark_of_gates_judges_in_spark_and_in_its_process_and_finds_the_same() -> None:
    command = [sys.executable, str(PROJECT / "benchmarks" / "gates.py"), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_200, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    seen = {
        how: {n: (f["rows"], f["set_aside"]) for n, f in figures[how].items()} for how in ("in_spark", "in_process")
    }
    assert seen["in_spark"] == seen["in_process"]
    assert figures["peak_ratio"] > 0


def load() -> Load:
    """Three events of one device."""
    values = [b"%d" % i for i in range(3)]
    places = {("e-1", 0, i): i for i in range(3)}
    return Load([(b"e-1", v) for v in values], [], places, np.array([1.0, 2.0, 3.0], np.float32))


def record(value: bytes) -> Record:
    return Record("out", 0, 0, 0, b"e-1", value, {})


def predicted(seq: int, prediction: float) -> Record:
    return record(msgspec.json.encode({"device_id": "e-1", "run": 0, "seq": seq, "prediction": prediction}))


def test_every_event_with_its_expected_prediction_once_is_exact() -> None:
    account = account_predictions(load(), [predicted(i, i + 1.0) for i in range(3)])
    assert account == Account(3, 0, 0, 0.0)
    assert account.is_exact


def test_a_missing_output_is_lost_a_second_one_is_duplicated_and_another_answer_is_an_error() -> None:
    account = account_predictions(load(), [predicted(0, 1.0), predicted(1, 2.5), predicted(1, 2.0)])
    assert account == Account(3, 1, 1, 0.5)
    assert not account.is_exact


def test_copies_are_counted_by_what_they_hold() -> None:
    assert account_copies(load(), [record(b"0"), record(b"0"), record(b"2")]) == Account(3, 1, 1, None)


def test_a_key_holds_the_median_of_the_rounds_beside_minimum_and_maximum() -> None:
    assert summary({"x": [3.0, 1.0, 2.0]}) == {"x": 2.0, "x_min": 1.0, "x_max": 3.0}
