"""The training set: the same bits as the stream's features, frozen for good."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from aimaas.errors import LakeError, TrainingRefusedError
from aimaas.fleet import FleetSpec
from aimaas.kernel.features import kernel_of
from aimaas.kernel.fit import finish, moments
from aimaas.kernel.plan import plan_of
from aimaas.kernel.regimes import find_regimes
from aimaas.kernel.state import DeviceState
from aimaas.lake import Table, held, table_version
from aimaas.settings import Settings
from aimaas.training.last_refusal import attempt_of, last_refused
from aimaas.training.split import split_of
from aimaas.training.training_set import DESCRIPTION, read_training_set
from spark_jobs.commits import commit
from spark_jobs.features import feature_rows, features, period_of
from spark_jobs.job import Job
from spark_jobs.sources import Sources
from spark_jobs.training_sets.fitting import fit_of
from spark_jobs.training_sets.labels import run_ends

pytestmark = pytest.mark.spark
ROWS, CAP = 40, 20
BEGAN = datetime(2026, 11, 23, tzinfo=UTC)


def raw_rows(fleet: FleetSpec, devices: int, seed: int = 3) -> list[dict[str, Any]]:
    """Rows of gold, with where the kernel begins anew and labels: two runs a device, the first failed; nulls; a silence."""
    rng, rows = np.random.default_rng(seed), []
    for device in (f"d{i}" for i in range(devices)):
        for run in (0, 1):
            count = int(rng.integers(3, ROWS))
            for order in range(count):
                mode, left = float(rng.integers(0, 3)), (ROWS if run == 0 else count - 1) - order
                rows.append(
                    {
                        "device_id": device, "run": run, "order": order, "split": split_of(device, fleet.split),
                        "broker_ts": BEGAN + timedelta(days=100 * run + 40 * (order >= 17), seconds=order),
                        "mode": mode, "heat": float(300 + 40 * mode + rng.normal()),
                        "load": None if rng.random() < 0.2 else float(rng.normal()),
                        "begins": order in (0, 17),
                        "label": min(left, CAP) if run == 0 or left >= CAP else None,
                    }
                )  # fmt: skip
    return rows


def frame(spark: Any, rows: list[dict[str, Any]]) -> Any:
    """The rows as gold stores them."""
    return spark.createDataFrame([tuple(r.values())[:-2] for r in rows], SCHEMA)


def failures(spark: Any, rows: list[dict[str, Any]]) -> Any:
    """Outcomes: the first run of each device failed."""
    found = [("t", 0, i, device, 0, ROWS, "failed") for i, device in enumerate(sorted({r["device_id"] for r in rows}))]
    columns = "topic string, partition int, offset bigint, device_id string, run bigint, `order` bigint, kind string"
    return spark.createDataFrame(found, columns)


def overwrite(settings: Settings, fleet: FleetSpec, table: Table, content: Any) -> None:
    """Write the table as its job does; gold notes what it was made of."""
    note = msgspec.json.encode(Sources("{}", 0, "digest")).decode() if table == "gold" else ""
    commit(settings, fleet, table, "test", content, held(settings, fleet.fleet, table, "test"), note, "overwrite")


SCHEMA = "device_id string, run bigint, `order` bigint, split string, broker_ts timestamp, mode double, heat double, `load` double"


def stream_features(fleet: FleetSpec, fit: Any, rows: list[dict[str, Any]], seed: int) -> dict[tuple[Any, ...], bytes]:
    """The kernel fed as the scorer feeds it: devices interleaved, batches of any size, one state."""
    rng, plan = np.random.default_rng(seed), plan_of(fleet)
    queues: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        queues.setdefault(row["device_id"], []).append(row)
    names = [row["device_id"] for row in rows]
    rng.shuffle(names)
    arrived = [queues[name].pop(0) for name in names]
    found: dict[tuple[Any, ...], bytes] = {}
    kernel, state, at = kernel_of(plan, fit), DeviceState.of(fleet), 0
    while at < len(arrived):
        batch = arrived[at : at + int(rng.integers(1, 120))]
        at += len(batch)
        values = np.array([[np.nan if r[c] is None else r[c] for c in fleet.readings] for r in batch], np.float32)
        resets = np.array([r["begins"] for r in batch])
        out = kernel.advance(state, state.slots([r["device_id"] for r in batch]), values, resets)
        found |= {(r["device_id"], r["run"], r["order"]): out[i].tobytes() for i, r in enumerate(batch)}
    return found


@pytest.fixture
def small_batches(spark: Any) -> Any:
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    spark.conf.set(name, 37)
    yield
    spark.conf.set(name, before)


@pytest.mark.parametrize("candidate", ["ridge", "aft"])
def test_where_readings_drive_the_censoring_the_set_weighs_by_them_and_has_the_same_digest_when_made_again(
    spark: Any,
    make_fleet: Callable[..., FleetSpec],
    offline_settings: Settings,
    tmp_path: Path,
    candidate: str,
) -> None:
    """Hot devices fail after 20 rows on average and are taken away after at most 10, others after 80 and 40."""
    fleet = make_fleet(
        task={"kind": "failure_within", "unit": "cycles", "horizon": 5},
        features={"windows": [2]},
        training={"candidates": {candidate: {}}},
    )
    rng, rows, failed = np.random.default_rng(2), [], []
    for i in range(400):
        device, hot = f"d{i}", bool(rng.integers(0, 2))
        life, watch = int(rng.exponential(20 if hot else 80)) + 1, int(rng.uniform(0, 10 if hot else 40))
        split = split_of(device, fleet.split)
        rows += [
            (device, 0, order, split, BEGAN + timedelta(seconds=order), 1.0, 300.0 + 50 * hot + rng.normal(), 0.5)
            for order in range(min(life, watch) + 1)
        ]
        failed += [("t", 0, i, device, 0, life, "failed")] if life <= watch else []
    columns = "topic string, partition int, offset bigint, device_id string, run bigint, `order` bigint, kind string"
    overwrite(offline_settings, fleet, "outcomes", spark.createDataFrame(failed, columns))
    overwrite(offline_settings, fleet, "gold", spark.createDataFrame(rows, SCHEMA))

    def freeze(folder: str) -> str:
        arguments = argparse.Namespace(out=str(tmp_path / folder), as_of=None)
        return str(features(Job("features", offline_settings, fleet, arguments, start=lambda *_: spark))["digest"])

    assert freeze("a") == freeze("b")
    found = read_training_set(tmp_path / "a")
    told = found.info.censoring
    assert told is not None and told.by_readings
    assert told.unknown + told.cut + len(found.rows) == len(rows)
    assert len(found.all_rows) == (len(rows) if candidate == "aft" else len(found.rows))
    device_is_hot = {row[0]: bool(row[6] > 325) for row in rows}
    of_hot = np.array([device_is_hot[d] for d in found.rows.device_id])
    first, calm = found.rows.order == 0, (found.rows.label == 0)
    weight = found.rows.weight
    assert weight[first & calm & of_hot].mean() > 1.3 * weight[first & calm & ~of_hot].mean()


@pytest.mark.parametrize("candidate", ["ridge", "cnn"])  # the second also wants the window
def test_spark_and_stream_give_the_same_bits_however_events_are_cut(
    spark: Any, make_fleet: Callable[..., FleetSpec], small_batches: None, candidate: str
) -> None:
    fleet = make_fleet(training={"candidates": {candidate: {}}})
    assert plan_of(fleet).sequence == (7 if candidate == "cnn" else 0)
    rows = raw_rows(fleet, 14)
    gold = frame(spark, rows)
    fit = fit_of(fleet, plan_of(fleet), gold.where("split = 'train'"))
    assert len(fit.centres) == 3
    table = feature_rows(fleet, plan_of(fleet), fit, gold, run_ends(failures(spark, rows))).collect()
    by_spark = {(r["device_id"], r["run"], r["order"]): np.array(r["features"], np.float32).tobytes() for r in table}
    labels = {(r["device_id"], r["run"], r["order"]): r["label"] for r in rows if r["label"] is not None}
    assert {(r["device_id"], r["run"], r["order"]): r["label"] for r in table} == labels
    for seed in range(5):
        by_stream = stream_features(fleet, fit, rows, seed)
        assert by_spark == {place: by_stream[place] for place in by_spark}


def test_the_fit_learns_from_training_devices_alone_and_has_the_same_bits_however_spark_cuts(
    spark: Any, make_fleet: Callable[..., FleetSpec]
) -> None:
    fleet = make_fleet()
    plan, rows = plan_of(fleet), raw_rows(fleet, 14)
    gold = frame(spark, rows)
    train = gold.where("split = 'train'")
    fits = {fit_of(fleet, plan, train.repartition(n)).id for n in (1, 3)}
    assert len(fits) == 1
    matrix = np.array(
        [[np.nan if r[c] is None else r[c] for c in fleet.readings] for r in rows if r["split"] == "train"], np.float64
    )
    regimes = find_regimes(plan, matrix, fleet.training.seed)
    direct = finish(regimes, [moments(plan, regimes, np.zeros(len(plan.channels)), matrix)])
    assert np.allclose(fit_of(fleet, plan, train).means, direct.means, rtol=1e-6)
    with pytest.raises(TrainingRefusedError, match="no row of a training device"):
        fit_of(fleet, plan, gold.where("false"))


def test_a_training_set_is_the_same_when_made_again_and_never_overwritten(
    spark: Any, make_fleet: Callable[..., FleetSpec], offline_settings: Settings, tmp_path: Path
) -> None:
    fleet = make_fleet()

    def freeze(folder: str, as_of: str | None = None) -> dict[str, Any]:
        arguments = argparse.Namespace(out=str(tmp_path / folder), as_of=as_of)
        return features(Job("features", offline_settings, fleet, arguments, start=lambda *_: spark))

    def write(table: Table, content: Any, note: str) -> None:
        seen = held(offline_settings, fleet.fleet, table, "test")
        commit(offline_settings, fleet, table, "test", content, seen, note, "overwrite")

    def write_gold(rows: list[dict[str, Any]]) -> None:
        write("outcomes", failures(spark, rows), "")
        outcomes = table_version(offline_settings, fleet.fleet, "outcomes") or 0
        write("gold", frame(spark, rows), msgspec.json.encode(Sources("{}", outcomes, "digest")).decode())

    with pytest.raises(LakeError, match="run the gold job first"):
        freeze("a")
    rows = raw_rows(fleet, 14)
    write_gold(rows)
    first = freeze("a")
    found = read_training_set(tmp_path / "a")
    labelled = [r for r in rows if r["label"] is not None]
    assert len(found.rows) == len(labelled)
    assert {name: c.rows for name, c in found.info.splits.items() if c.rows} == {
        s: sum(r["split"] == s for r in labelled) for s in {r["split"] for r in labelled}
    }
    assert sum(c.failures for c in found.info.splits.values()) == 14
    assert (found.info.plan, found.info.gold_version) == (plan_of(fleet), 0)

    written = (tmp_path / "a" / DESCRIPTION).stat().st_mtime_ns
    assert freeze("a") == first
    assert (tmp_path / "a" / DESCRIPTION).stat().st_mtime_ns == written

    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / DESCRIPTION).unlink()  # as a killed run leaves it
    assert freeze("b")["digest"] == first["digest"]

    write_gold(list(reversed(rows)))
    assert (freeze("c")["digest"], freeze("c")["gold"]) == (first["digest"], 1)
    assert freeze("a") == first, "a task that is tried again finds what it had finished, though gold has gone on"
    assert (tmp_path / "a" / DESCRIPTION).stat().st_mtime_ns == written
    with pytest.raises(LakeError, match="never overwritten"):
        freeze("a", as_of="1")
    changed, fleet = fleet, fleet.model_copy(update={"version": fleet.version + 1})
    with pytest.raises(
        LakeError, match=f"version {changed.version}, .* but you asked for {fleet.fleet} version {fleet.version}"
    ):
        freeze("a")


def test_rows_after_a_failure_are_labelled_by_the_next_one_without_a_new_run_and_weighted_for_censoring(
    spark: Any, make_fleet: Callable[..., FleetSpec]
) -> None:
    """Devices fail after every twelfth row and go on in the same run; they are lost sight of at row 30 or 40."""
    fleet = make_fleet(task={"kind": "remaining_useful_life", "unit": "cycles", "cap": 5}, features={"windows": [3]})
    devices, every = [f"d{i}" for i in range(14)], 12
    watched = {device: 40 if i % 2 else 30 for i, device in enumerate(devices)}
    rows = [
        (device, 0, order, split_of(device, fleet.split), BEGAN + timedelta(seconds=order), 1.0, 300.0 + order % 7, 0.5)
        for device in devices
        for order in range(watched[device] + 1)
    ]
    failures = [
        ("t", 0, i, device, 0, order, "failed")
        for i, (device, order) in enumerate((d, o) for d in devices for o in range(every, watched[d], every))
    ]
    columns = "topic string, partition int, offset bigint, device_id string, run bigint, `order` bigint, kind string"
    gold, ends = spark.createDataFrame(rows, SCHEMA), run_ends(spark.createDataFrame(failures, columns))
    fit = fit_of(fleet, plan_of(fleet), gold.where("split = 'train'"))

    found = feature_rows(fleet, plan_of(fleet), fit, gold, ends).collect()

    label = {(r["device_id"], r["order"]): r["label"] for r in found}
    for device in devices:
        for order in range(watched[device] + 1):
            failure = max(-(-order // every), 1) * every
            if failure < watched[device]:
                assert label[device, order] == min(failure - order, 5)
    weights = {(r["order"], r["weight"]) for r in found if r["order"] <= every}
    assert {weight for _, weight in weights} == {1.0}, "no first life is censored"
    second = {r["weight"] for r in found if every < r["order"] <= 2 * every}
    assert max(second) > 1, "a known label stands for lives that were lost sight of"
    assert not any((device, watched[device]) in label for device in devices)


def test_a_training_set_tells_what_censoring_did(
    spark: Any, make_fleet: Callable[..., FleetSpec], offline_settings: Settings, tmp_path: Path
) -> None:
    fleet = make_fleet()
    rows = raw_rows(fleet, 14)
    overwrite(offline_settings, fleet, "outcomes", failures(spark, rows))
    overwrite(offline_settings, fleet, "gold", frame(spark, rows))
    arguments = argparse.Namespace(out=str(tmp_path / "a"), as_of=None)
    features(Job("features", offline_settings, fleet, arguments, start=lambda *_: spark))

    found = read_training_set(tmp_path / "a")

    told = found.info.censoring
    assert told is not None
    assert (told.clock, told.lives, told.failures) == ("age", 28, 14)
    assert told.unknown + told.cut + len(found.rows) == len(rows)
    assert told.largest_weight == found.rows.weight.max() > 1
    assert 0 < told.effective_rows < len(found.rows)


def test_the_period_of_a_set_is_from_the_first_event_to_the_last_in_utc(spark: Any) -> None:
    times = [BEGAN + timedelta(hours=hour, microseconds=7) for hour in (5, 1, 9)]
    gold = spark.createDataFrame([(t,) for t in times], "ts timestamp")
    assert period_of(gold) == (times[1], times[2])
    assert period_of(gold.where("false")) is None


def test_a_refusal_of_a_scheduled_training_is_remembered_and_one_by_hand_is_not(
    spark: Any, make_fleet: Callable[..., FleetSpec], offline_settings: Settings, tmp_path: Path
) -> None:
    fleet, none = make_fleet(), frame(spark, raw_rows(make_fleet(), 14)).where("false")
    overwrite(offline_settings, fleet, "outcomes", failures(spark, []))
    overwrite(offline_settings, fleet, "gold", none)

    def refuse(**scheduled: int) -> None:
        arguments = argparse.Namespace(out=str(tmp_path / "set"), as_of=None, **scheduled)
        with pytest.raises(TrainingRefusedError, match="no row of a training device"):
            features(Job("features", offline_settings, fleet, arguments, start=lambda *_: spark))

    refuse()
    assert last_refused(offline_settings, fleet.fleet) is None
    refuse(outcomes=3)

    found = last_refused(offline_settings, fleet.fleet)
    assert found is not None and "no row of a training device" in found.why
    assert found.attempt == attempt_of(fleet, 0, 3)
