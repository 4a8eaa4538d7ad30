"""`aimaas fleets try`: what a changed fleet file would change, told before anything changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from aimaas.errors import FleetFileError
from aimaas.fleet import FleetSpec
from aimaas.kafka import Record, begin_offsets, end_offsets
from aimaas.records.events import Outcome
from aimaas.records.refusal_reasons import Reason
from aimaas.topics import topic_names
from cli.app import app
from spark_jobs.admission.outcomes import judge_outcomes
from stream.preview.preview import compare
from tests.spark_jobs.conftest import START, event, outcome, plant, small_fleet

if TYPE_CHECKING:
    from tests.spark_jobs.conftest import Plant

__all__ = ["plant"]

FLEET = small_fleet(topics={"partitions": 1})
SENT_MS = int(START.timestamp() * 1e3) + 3_600_000


def changed(**keys: Any) -> FleetSpec:
    """The fleet's file with other top-level keys, or with parts of them replaced."""
    whole = json.loads(FLEET.model_dump_json())
    for key, value in keys.items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
    return FleetSpec.model_validate(whole)


def records(values: list[tuple[str, bytes]]) -> list[Record]:
    """Records of one partition, a second apart."""
    return [Record("t", 0, i, SENT_MS + i * 1_000, key.encode(), value, {}) for i, (key, value) in enumerate(values)]


def sent(rows: int = 12, devices: int = 2) -> list[Record]:
    return records([(f"d{d}", event(FLEET, f"d{d}", seq)) for seq in range(rows) for d in range(devices)])


def outcomes(*values: bytes) -> list[Outcome]:
    found = judge_outcomes(FLEET, [json.loads(v)["device_id"].encode() for v in values], values)
    return [o for o in found if isinstance(o, Outcome)]


def test_the_same_file_differs_in_nothing() -> None:
    found = compare(FLEET, FLEET, sent(), outcomes(outcome(FLEET, "d0", 11)))
    assert (found.events, found.admitted, found.newly_refused, found.newly_admitted) == (24, (24, 24), 0, 0)
    assert (found.refused, found.values, found.new_features, found.gone_features, found.other_labels) == (
        {},
        {},
        [],
        [],
        0,
    )
    assert (
        found.is_same
        and found.rule_changes == []
        and found.labelled is not None
        and found.labelled[0] == found.labelled[1]
    )


def test_a_narrower_range_says_which_events_would_be_refused() -> None:
    narrow = changed(sensors={"heat": {"name": "heat", "unit": "K", "range": [0, 305]}})
    found = compare(FLEET, narrow, sent(), [])
    told = found.refused[Reason.OUT_OF_RANGE]
    assert (told.now, told.then, found.newly_refused, found.newly_admitted) == (0, 12, 12, 0)  # seq 6 to 11 of both
    assert told.example == "partition 0, offset 12: heat is 306; allowed are 0 to 305"
    assert not found.is_same
    assert found.rule_changes == ["sensors.heat.range: [0,1000] -> [0,305]"]
    assert compare(narrow, FLEET, sent(), []).newly_admitted == 12


def test_another_cap_changes_labels_and_nothing_else() -> None:
    failed = outcomes(outcome(FLEET, "d0", 11))
    found = compare(FLEET, changed(task={"cap": 5.0}), sent(), failed)
    now, then = found.labelled or pytest.fail("no labels")
    # d0 failed at 11: its labels are 11, 10, … 0, then capped at 5; d1 lives, and is watched for 5 cycles after rows 0 to 6
    assert (now.rows, now.mean) == (12, 5.5)
    assert then.rows == 12 + 7
    assert then.mean == pytest.approx((6 * 5 + 15 + 5 + 7 * 5 - 5) / 19)
    assert found.other_labels == 6 + 7 and not found.values and found.newly_refused == 0


def test_a_second_life_of_a_run_is_labelled_by_the_failure_that_ends_it() -> None:
    found = compare(
        FLEET, FLEET, sent(devices=1), outcomes(outcome(FLEET, "d0", 5, "repaired"), outcome(FLEET, "d0", 11))
    )
    assert found.labelled is not None and found.labelled[0].rows == 6 and found.labelled[0].mean == 2.5


def test_features_that_come_go_or_have_other_values_are_named() -> None:
    other = changed(derived={"stress": "heat * load * 2", "cold": "heat - 273.15"}, features={"windows": [3, 9]})
    found = compare(FLEET, other, sent(), [])
    assert found.features[1] - found.features[0] == 5
    assert "cold.mean_9" in found.new_features and "heat.mean_7" in found.gone_features
    assert set(found.values) == {"stress.mean_3", "stress.from_first_2"}
    assert 0.5 < found.values["stress.mean_3"] <= 1


@given(st.lists(st.tuples(st.sampled_from(["d0", "d1"]), st.integers(0, 6), st.integers(-60, 60)), max_size=40),
       st.integers(0, 60))  # fmt: skip
def test_refused_and_admitted_add_up_to_the_events_under_both_files(
    rows: list[tuple[str, int, int]], limit: int
) -> None:
    events = records([(d, event(FLEET, d, seq, readings={"load": load})) for d, seq, load in rows])
    other = changed(sensors={"load": {**ROOMY, "range": [-limit - 1, limit]}})
    found = compare(FLEET, other, events, [])
    assert found.admitted[0] + sum(r.now for r in found.refused.values()) == len(rows)
    assert found.admitted[1] + sum(r.then for r in found.refused.values()) == len(rows)
    assert found.admitted[0] - found.newly_refused + found.newly_admitted == found.admitted[1]


ROOMY = {"name": "load", "unit": "N", "nullable": True, "fill": "previous"}


def test_another_fleets_file_is_refused() -> None:
    with pytest.raises(FleetFileError, match="the running fleet"):
        compare(FLEET, small_fleet(), [], [])


@pytest.mark.broker
def test_the_newest_events_on_the_topic_are_tried_and_nothing_is_changed(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleets = tmp_path / "fleets"
    fleets.mkdir()
    told = json.loads(plant.fleet.model_dump_json())
    (fleets / f"{plant.fleet.fleet}.yaml").write_text(yaml.safe_dump(told))
    told["sensors"]["heat"]["range"] = [0, 310]
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(told))
    for name, value in {"HOME": plant.settings.home, "FLEETS": fleets}.items():
        monkeypatch.setenv(f"AIMAAS_{name}", str(value))
    monkeypatch.setenv("AIMAAS_KAFKA_BOOTSTRAP_SERVERS", plant.settings.bootstrap_servers)
    plant.send(*[(f"d{d}", plant.event(f"d{d}", seq)) for seq in range(20) for d in range(5)])
    plant.send(("d0", plant.outcome("d0", 19)), topic="outcomes")
    topics = [topic_names(plant.fleet).events, topic_names(plant.fleet).journal, topic_names(plant.fleet).state]
    before = [(begin_offsets(plant.settings, t), end_offsets(plant.settings, t)) for t in topics]

    done = CliRunner().invoke(app, ["fleets", "try", str(tmp_path / "new.yaml")])

    assert done.exit_code == 0, done.exception
    lines = {" ".join(line.split()) for line in done.output.splitlines()}
    assert any(line.startswith("refused: out_of_range 0 45 partition ") for line in lines)  # seq 11 to 19 of five
    assert "rows admitted 100 55" in lines and "rows with a label 20 11" in lines
    assert before == [(begin_offsets(plant.settings, t), end_offsets(plant.settings, t)) for t in topics]
    assert "newest 100 events" in done.output
    few = CliRunner().invoke(app, ["fleets", "try", str(tmp_path / "new.yaml"), "--last", "3"])
    assert few.exit_code == 0 and "newest 3 events" in few.output
    own = CliRunner().invoke(app, ["fleets", "try", str(fleets / f"{plant.fleet.fleet}.yaml")])
    assert isinstance(own.exception, FleetFileError) and "change a copy" in str(own.exception)
