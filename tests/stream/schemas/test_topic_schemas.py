"""The published schemas and the records on the topics say the same: what is written fits them, what is refused does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import settings as checked
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from aimaas.admission.journal import Entry, Gap, append_to_journal
from aimaas.admission.rule_log import Claim, Rejudged
from aimaas.fleet import find_fleet
from aimaas.fleet.folder import read_folder
from aimaas.kafka import Record, read_all
from aimaas.model.intervals import Intervals
from aimaas.records.events import MAX_RUN, ModelStatus, Outcome
from aimaas.records.refusal_reasons import Reason
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from cli.app import app
from spark_jobs.admission.outcomes import judge_outcomes
from stream.records.dead_letters import PREFIX
from stream.records.predictions import BACKFILL_TYPE, EVENT_TYPE, shared_headers
from stream.schemas.headers import prediction_headers
from stream.schemas.topics import contracts, schemas
from tests.aimaas.records.test_event_schema import anything, device_ids, numbers, scalars, times
from tests.conftest import FLEETS
from tests.spark_jobs.conftest import small_fleet
from tests.stream.conftest import Line, open_line

FLEET = small_fleet()
OUTCOME: dict[str, Any] = {
    "fleet": FLEET.fleet, "device_id": "d", "run": 0, "seq": 192, "ts": "2026-11-29T10:00:00Z", "kind": "failed", "mode": "hpc",
}  # fmt: skip
MODES = st.none() | st.sampled_from(["", "hpc", "👾"]) | st.booleans() | numbers


def valid(schema: dict[str, Any], value: Any) -> bool:
    return Draft202012Validator(schema).is_valid(value)


@checked(max_examples=300)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "fleet": st.sampled_from([FLEET.fleet, "other"]) | scalars, "device_id": device_ids | scalars, "run": numbers | scalars,
            "seq": numbers | scalars, "ts": times | times | scalars, "mode": MODES, "other": anything,
            "kind": st.sampled_from(["failed", "repaired", "retired", "broken"]) | scalars,
        },
    ),
    st.sampled_from([(), (), ("seq",), ("run",), ("mode",), ("kind",), ("ts",), ("fleet", "device_id")]),
)  # fmt: skip
def test_schema_and_judge_agree_on_every_outcome(change: dict[str, Any], gone: tuple[str, ...]) -> None:
    outcome = {name: value for name, value in (OUTCOME | change).items() if name not in gone}
    assume(outcome.get("device_id") != "\ud800")  # nor half a surrogate pair: docs/reference/records.md
    text = json.dumps(outcome).replace("Infinity", "1E400")
    key = outcome.get("device_id")
    (found,) = judge_outcomes(
        FLEET, [key.encode("utf-8", "replace") if isinstance(key, str) else None], [text.encode()]
    )
    assume(isinstance(found, Outcome) or found.reason is not Reason.OVERSIZED)  # no schema sees the size of a record
    by_judge = isinstance(found, Outcome) or found.reason is Reason.KEY_MISMATCH

    assert valid(schemas(FLEET)[f"iot.{FLEET.fleet}.outcomes"], json.loads(text)) == by_judge, (text, found)


@pytest.mark.parametrize("name", ["turbofan", "mill"])
def test_every_topic_of_a_fleet_has_a_contract_and_every_schema_is_one(name: str) -> None:
    fleet = find_fleet(FLEETS, name)
    found = contracts(fleet)

    assert {contract.topic for contract in found} == {spec.name for spec in topic_specs(fleet)}
    for schema in schemas(fleet).values():
        Draft202012Validator.check_schema(schema)
        assert "$ref" not in json.dumps(schema)


@pytest.fixture
def ruled_line(settings: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Line]:
    rules = {"any": {"when": "s2 < 643", "summary": "{device_id}: {s2}"}, "quiet": {"absent_for": "1s"}}
    with open_line(settings, tmp_path, request.node.nodeid, rules=rules) as made:
        yield made


@pytest.fixture
def answered(ruled_line: Line) -> Any:
    """A fleet of which every topic that has a schema has records, of every kind."""
    line = ruled_line
    line.intervals = Intervals(0.9, (), (-5.0,), (5.0,), 12, "calibration")
    line.champion(version="3")
    now, topic = datetime.now(UTC), line.names.events
    events = line.events(devices=2)
    refused = [(b"e-1", b"{"), (b"e-1", b"x" * 70_000), (None, None), events[0]]
    line.send([*events, *refused])
    outcome = Outcome(line.fleet.fleet, "e-1", 192, now, "failed", 0, "hpc")
    line.send([(b"e-1", msgspec.json.encode(outcome))], line.names.outcomes)
    entries: list[Entry] = [
        Gap(topic, 0, 5, None, "gone", "land", now),
        Claim(topic, {0: 3}, now),
        Rejudged(topic, {0: 0}, {0: 3}, "d", now),
    ]
    append_to_journal(line.settings, line.fleet, entries)
    line.score_all(len(events), len(refused))
    return line


@pytest.mark.broker
def test_all_that_stands_on_the_topics_fits_the_schemas(answered: Any) -> None:
    found, seen = schemas(answered.fleet), set()
    good = len(answered.events(devices=2))
    for contract in contracts(answered.fleet):
        records = read_all(answered.settings, contract.topic)
        if contract.kind == "events":
            records = [r for r in records if r.value and len(r.value) < 70_000 and r.value != b"{"]
            assert len(records) == good + 1
        for record in records:
            seen |= {contract.kind}
            fits(record, contract.topic, found)
            if contract.key is not None and contract.kind not in ("dead_letters", "state"):
                Draft202012Validator(contract.key).validate((record.key or b"").decode())

    assert seen == {c.kind for c in contracts(answered.fleet) if c.direction is not None}


def fits(record: Record, topic: str, found: dict[str, Any]) -> None:
    if topic in found:
        Draft202012Validator(found[topic]).validate(json.loads(record.value or b""))
    if f"{topic}.headers" in found:
        Draft202012Validator(found[f"{topic}.headers"]).validate({k: v.decode() for k, v in record.headers.items()})


@pytest.mark.parametrize(
    ("kind", "fits_it"), [(EVENT_TYPE, True), (BACKFILL_TYPE, True), ("aimaas.prediction.late", False)]
)
def test_headers_of_predictions_fit_whether_the_stream_or_a_batch_scored_them(kind: str, fits_it: bool) -> None:
    headers = dict(shared_headers(FLEET.fleet, datetime(2026, 11, 30, tzinfo=UTC), kind))
    headers["ce_id"] = f"iot.{FLEET.fleet}.events/0/17"

    assert valid(prediction_headers(FLEET.fleet), headers) is fits_it


@pytest.mark.broker
def test_a_prediction_or_header_of_another_shape_does_not_fit(answered: Any) -> None:
    found, topic = schemas(answered.fleet), answered.names.predictions
    prediction = json.loads(read_all(answered.settings, topic)[0].value or b"")
    wrong = [
        {"fleet": "x"},
        {"prediction": None},
        {"prediction": "12"},
        {"ts": "yesterday"},
        {"lower": "1"},
        {"seq": 1.5},
    ]
    letter = read_all(answered.settings, answered.names.dead_letters)[0]
    headers = {k: v.decode() for k, v in letter.headers.items()}
    of_letters = found[f"{answered.names.dead_letters}.headers"]

    assert valid(found[topic], prediction)
    assert [w for w in wrong if valid(found[topic], prediction | w)] == []
    assert [
        name for name in prediction if name not in ("lower", "upper") and valid(found[topic], without(prediction, name))
    ] == []
    assert not valid(of_letters, headers | {f"{PREFIX}exception.class.name": "bad luck"})
    assert not valid(of_letters, without(headers, f"{PREFIX}offset"))


def without(values: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in values.items() if k != name}


@checked(max_examples=200)
@given(
    st.from_type(ModelStatus),
    st.sampled_from([None, ("state", "dead"), ("sequence", "1"), ("at", "now"), ("reason", None)]),
)
def test_a_model_status_fits_as_long_as_the_reader_takes_it(
    status: ModelStatus, change: tuple[str, Any] | None
) -> None:
    schema = schemas(FLEET)[f"iot.{FLEET.fleet}.model_status"]
    record = msgspec.json.decode(msgspec.json.encode(msgspec.structs.replace(status, at=datetime.now(UTC))))

    assert valid(schema, record | dict([change] if change else [])) == (change is None)


def test_the_command_prints_all_schemas_one_of_them_or_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMAAS_FLEETS", str(FLEETS))
    fleet, run = find_fleet(FLEETS, "mill"), CliRunner()
    every = json.loads(run.invoke(app, ["fleets", "schema", "mill"]).stdout)
    one = json.loads(run.invoke(app, ["fleets", "schema", "--fleet", "mill", "--topic", "outcomes"]).stdout)
    document = json.loads(run.invoke(app, ["fleets", "schema", "mill", "--asyncapi"]).stdout)
    written = run.invoke(app, ["fleets", "schema", "--out", str(tmp_path / "schemas")])

    assert every == schemas(fleet)
    assert one == every["iot.mill.outcomes"]
    assert one["properties"]["run"]["maximum"] == MAX_RUN
    assert set(document["channels"]) == {contract.kind for contract in contracts(fleet)}
    assert written.exit_code == 0
    expected = {name for f in read_folder(FLEETS).fleets.values() for name in [*schemas(f), f"{f.fleet}.asyncapi"]}
    assert {file.stem for file in (tmp_path / "schemas").iterdir()} == expected
    assert json.loads((tmp_path / "schemas" / "iot.mill.events.json").read_text()) == every["iot.mill.events"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mill", "--topic", "nothing"], "there are: events, events.headers, outcomes"),
        (["nothing"], "no such fleet file"),
        (["--topic", "events"], "need a fleet"),
        (["mill", "--out", "/proc/no"], "cannot be written"),
    ],
)
def test_what_cannot_be_printed_or_written_is_told(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIMAAS_FLEETS", str(FLEETS))
    done = CliRunner().invoke(app, ["fleets", "schema", *arguments])

    assert done.exit_code != 0
    assert said in f"{done.exception} {done.output}"
