"""Dead letters are read back as they were written, and a person finds the ones that matter."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from aimaas.errors import AimaasError
from cli.app import app
from stream.records.dead_letters import Source, replay_headers, replay_of
from stream.records.replay_mac import replay_mac
from tests.conftest import FLEETS
from tests.stream.conftest import Line
from upkeep.dead_letters.letters import letter_of, since_ms

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


SECRET = "of the tests"


class Message:
    """A record of the dead-letter topic."""

    def __init__(self, headers: list[tuple[str, bytes | None]], at_ms: int = 5) -> None:
        self._headers, self._at_ms = headers, at_ms

    def headers(self) -> Any:
        return self._headers

    def topic(self) -> str:
        return "iot.mill.events.dlq"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 7

    def key(self) -> bytes:
        return b"m-1"

    def value(self) -> bytes:
        return b"{}"

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at_ms


def headers(reason: str = "late", **others: str) -> list[tuple[str, bytes | None]]:
    errors = {"topic": "iot.mill.events", "partition": "3", "offset": "41", "exception.class.name": reason} | others
    return [("site", b"north"), *((f"__connect.errors.{k}", v.encode()) for k, v in errors.items())]


def test_a_letter_names_its_source_reason_and_what_was_cut() -> None:
    digest = ("aimaas.truncated.value", b"900 bytes sha256:ab")
    found = letter_of(Message([*headers("oversized"), digest]))

    assert found is not None
    assert (found.source, found.reason) == (Source("iot.mill.events", 3, 41), "oversized")
    assert (found.headers, found.truncated) == ((("site", b"north"),), {"value": "900 bytes sha256:ab"})
    assert found.origin == found.source


def test_the_letter_of_a_copy_is_a_letter_of_the_original() -> None:
    original = Source("iot.mill.events", 3, 12)
    message = Message([*headers(), *replay_headers(SECRET, original, b"m-1", b"{}")])
    found, forged = letter_of(message, SECRET), letter_of(message, "another key")

    assert found is not None and forged is not None
    assert (found.copy_of, found.origin) == (original, original)
    assert (forged.copy_of, forged.origin) == (None, forged.source)


@pytest.mark.parametrize(
    "name", [b"", b"iot.other.events/1/2", b"iot.mill.events/1", b"iot.mill.events/-1/2", b"\xff/1/2"]
)
def test_a_header_that_names_no_event_of_the_topic_makes_no_copy(name: bytes) -> None:
    proof = ("aimaas.replay.mac", replay_mac(SECRET, name.decode("latin-1"), b"m-1", b"{}").encode())
    assert replay_of([("aimaas.replay.of", name), proof], "iot.mill.events", b"m-1", b"{}", SECRET) is None


def test_a_record_without_the_headers_of_a_letter_is_none() -> None:
    assert letter_of(Message([("site", b"north")])) is None
    assert letter_of(Message(headers(offset="x"))) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", datetime(2026, 11, 24, 11, 30, tzinfo=UTC)),
        ("2d", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("2026-11-23T10:00:00Z", datetime(2026, 11, 23, 10, tzinfo=UTC)),
        ("2026-11-23T10:00:00", datetime(2026, 11, 23, 10, tzinfo=UTC)),
    ],
)
def test_a_time_may_be_given_as_such_or_as_how_long_ago(text: str, expected: datetime) -> None:
    assert since_ms(text, NOW) == int(expected.timestamp() * 1e3)


def test_what_is_no_time_is_said_with_what_to_write() -> None:
    with pytest.raises(AimaasError, match=r"--since yesterday: write a time such as"):
        since_ms("yesterday", NOW)


@pytest.mark.parametrize("since", ["800000d", "9" * 5_000 + "s"])
def test_a_time_before_all_times_is_said_by_the_command(tmp_path: Path, since: str) -> None:
    surroundings = {"AIMAAS_HOME": str(tmp_path), "AIMAAS_FLEETS": str(FLEETS)}

    result = CliRunner().invoke(app, ["dlq", "list", "--fleet", "mill", "--since", since], env=surroundings)

    assert isinstance(result.exception, AimaasError)
    assert str(result.exception).startswith("--since ")


def test_a_time_before_1970_is_the_beginning() -> None:
    assert since_ms("100000d", NOW) == 0


@pytest.fixture
def run(line: Line, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command line in the surroundings of the line; what it printed."""
    monkeypatch.setenv("AIMAAS_HOME", str(line.settings.home))
    monkeypatch.setenv("AIMAAS_FLEETS", str(line.folder))
    monkeypatch.setenv("AIMAAS_KAFKA_BOOTSTRAP_SERVERS", line.settings.bootstrap_servers)
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["dlq", *arguments, "--fleet", line.fleet.fleet], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return call


@pytest.mark.broker
def test_before_the_first_champion_the_list_says_that_events_are_not_yet_predicted(line: Line, run: Any) -> None:
    said = run("list")

    assert "has served, so only the lake has judged its events" in said
    assert f"`aimaas quarantine list --fleet {line.fleet.fleet}`" in said


@pytest.mark.broker
def test_a_person_lists_filters_and_looks_at_letters(line: Line, run: Any) -> None:
    line.champion()
    (key, value), *_ = line.events(devices=1)
    large = value[:-1] + b',"padding":"' + b"x" * line.fleet.limits.record_bytes + b'"}'
    places = line.send([(key, b"{\x1b[31m"), (key, large), (key, value), (key, value)])
    line.score_all(1, 3)
    unparsable, oversized, _, duplicate = (f"{line.names.events}/{p}/{o}" for p, o in places)

    assert all(word in run("list") for word in (unparsable, oversized, duplicate, "no JSON", key.decode()))
    only = [json.loads(text) for text in run("list", "--reason", "duplicate", "--since", "1h", "--json").splitlines()]
    assert [(row["source"], row["device"], row["reason"]) for row in only] == [(duplicate, key.decode(), "duplicate")]
    assert len(run("list", "--limit", "2", "--json").splitlines()) == 2
    assert run("list", "--since", "2999-01-01").strip() == "no dead letters"
    assert json.loads(value)["device_id"] in run("show", duplicate)
    assert '"readings": {' in run("show", duplicate)
    assert f"{len(large)} bytes sha256:" in run("show", oversized)
    assert "\\x1b[31m" in run("show", unparsable)
    assert "\x1b" not in run("show", unparsable) + run("list")


@pytest.mark.broker
def test_coordinates_without_a_letter_are_said_so(line: Line, run: Any) -> None:
    with pytest.raises(AimaasError, match=r"0/7: this record has no dead letter"):
        run("show", "0/7")
    with pytest.raises(AimaasError, match=r"'seven' is not a record: write topic/partition/offset"):
        run("show", "seven")
    with pytest.raises(AimaasError, match=r"--reason nonsense: no such reason; the reasons are oversized, "):
        run("list", "--reason", "nonsense")
