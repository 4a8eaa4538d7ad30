"""Each prediction stands in the database once, through kills, repeats and two exports at once, on SQLite and on Postgres."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from confluent_kafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, func, select, text, update

from aimaas.kafka import Record, admin, create_topics, delete_topics, read_all
from aimaas.records.events import Prediction
from aimaas.topics import topic_specs
from stream.export.database import Database, ExportError
from stream.export.reading import row_of
from stream.export.run import export
from stream.export.tables import OFFSETS, PREDICTIONS, TABLES
from tests.postgres import postgres
from tests.stream.conftest import Line

ROOT = Path(__file__).parents[3]
LIMIT_S = 120.0
NOW = datetime(2026, 11, 30, 10, tzinfo=UTC)
MANY = 20_000


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/predictions.db"
    found: str = request.getfixturevalue("server")
    TABLES.drop_all(create_engine(found))
    return found


def rows_of(url: str) -> dict[str, dict[str, Any]]:
    """The exported rows by their event, times in UTC."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [dict(row) for row in connection.execute(select(PREDICTIONS)).mappings()]
    engine.dispose()
    for row in found:
        for name in ("ts", "scored_at"):
            time = row[name]
            row[name] = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    assert len({row["event"] for row in found}) == len(found)
    return {row["event"]: row for row in found}


def on_topic(records: list[Record]) -> dict[str, dict[str, Any]]:
    """The rows that these records must have become, by their event."""
    found = {}
    for record in records:
        event = record.headers["ce_id"].decode()
        found[event] = msgspec.structs.asdict(msgspec.json.decode(record.value or b"", type=Prediction)) | {
            "event": event
        }
    return found


def count(url: str) -> int:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(PREDICTIONS)).scalar_one()
    finally:
        engine.dispose()


def predicted(fleet: str, number: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """A record as the scorer writes it, each of another event."""
    device = f"e-{number % 50}"
    made = Prediction(
        fleet, device, 0, number, NOW + timedelta(seconds=number), number / 7, "cycles", "1", NOW, -1.0, None
    )
    return device.encode(), msgspec.json.encode(made), [("ce_id", f"t/0/{number}".encode())]


@pytest.mark.broker
def test_predictions_of_a_scorer_are_rows_and_a_second_run_changes_nothing(line: Line, url: str) -> None:
    line.champion()
    events = line.events(devices=3)
    line.send(events[:50])
    line.score_all(50)

    assert export(line.settings, line.fleet, url).predictions == 50
    assert export(line.settings, line.fleet, url).predictions == 0
    line.send(events[50:])
    line.score_all(len(events))
    assert export(line.settings, line.fleet, url).predictions == len(events) - 50
    assert rows_of(url) == on_topic(line.predictions())


@pytest.mark.broker
def test_an_export_that_is_killed_again_and_again_loses_and_doubles_nothing(line: Line, url: str) -> None:
    line.send([predicted(line.fleet.fleet, n) for n in range(MANY)], line.names.predictions)
    export(line.settings, line.fleet, url, stop=stopped())  # one portion
    kills = 0
    while (there := count(url)) < MANY:
        process = started(line, url)
        limit = time.monotonic() + LIMIT_S
        while process.poll() is None and count(url) <= there:
            assert time.monotonic() < limit
        kills += process.poll() is None
        process.kill()
        process.wait(10)

    assert kills >= 2
    assert export(line.settings, line.fleet, url).predictions == 0
    assert rows_of(url) == on_topic(read_all(line.settings, line.names.predictions))


def stopped() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


def started(line: Line, url: str) -> subprocess.Popen[bytes]:
    """`aimaas export` as a process that follows."""
    environment = os.environ | {
        "AIMAAS_HOME": str(line.settings.home), "AIMAAS_FLEETS": str(line.folder), "AIMAAS_EXPORT_URL": url,
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": line.settings.bootstrap_servers,
    }  # fmt: skip
    command = [sys.executable, "-m", "cli", "export", "--fleet", line.fleet.fleet, "--follow"]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def at_once(times: int, work: Callable[[], object]) -> list[ExportError]:
    """Do the work in threads that begin together; the refusals."""
    refused: list[ExportError] = []
    begin = threading.Barrier(times)

    def run() -> None:
        begin.wait(LIMIT_S)
        try:
            work()
        except ExportError as e:
            refused.append(e)

    threads = [threading.Thread(target=run) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    return refused


def test_exports_that_begin_at_once_in_an_empty_database_all_find_its_tables(url: str) -> None:
    assert at_once(8, lambda: Database(url, "topic", "id").close()) == []


@pytest.mark.broker
def test_of_two_exports_at_once_none_doubles_or_loses(line: Line, url: str) -> None:
    line.send([predicted(line.fleet.fleet, n) for n in range(MANY)], line.names.predictions)
    failures = at_once(2, lambda: export(line.settings, line.fleet, url))
    export(line.settings, line.fleet, url)

    assert all("another export" in str(e) or "locked" in str(e) for e in failures)
    assert rows_of(url) == on_topic(read_all(line.settings, line.names.predictions))


@pytest.mark.broker
def test_a_topic_made_anew_is_exported_from_its_beginning_and_what_is_no_prediction_is_counted(
    line: Line, url: str
) -> None:
    topic = line.names.predictions
    line.send([predicted(line.fleet.fleet, n) for n in range(30)], topic)
    export(line.settings, line.fleet, url)
    delete_topics(line.settings, [topic])
    create_topics(line.settings, topic_specs(line.fleet))
    later = [predicted(line.fleet.fleet, n) for n in range(30, 50)]
    line.send([*later, (b"e-1", b"{"), (b"e-1", None), (b"e-1", b'{"fleet":1}')], topic)

    done = export(line.settings, line.fleet, url)

    assert (done.predictions, done.strange) == (20, 3)
    assert sorted(rows_of(url)) == sorted(f"t/0/{n}" for n in range(50))


@pytest.mark.broker
def test_predictions_that_retention_deleted_before_their_export_are_told(line: Line, url: str) -> None:
    topic = line.names.predictions
    line.send([predicted(line.fleet.fleet, n) for n in range(20)], topic)
    export(line.settings, line.fleet, url)
    places = line.send([predicted(line.fleet.fleet, n) for n in range(20, 40)], topic)
    partition, offset = max(places)
    client = admin(line.settings)
    for future in client.delete_records([TopicPartition(topic, partition, offset)]).values():
        future.result(30)

    with pytest.raises(ExportError, match=f"partition {partition}: offsets .* were deleted .*--accept-loss"):
        export(line.settings, line.fleet, url)
    export(line.settings, line.fleet, url, accept_loss=True)

    left = {f"t/0/{20 + n}" for n, (p, at) in enumerate(places) if p != partition or at >= offset}
    assert set(rows_of(url)) == {f"t/0/{n}" for n in range(20)} | left


@pytest.mark.broker
def test_a_topic_that_is_shorter_than_the_export_is_told_with_a_remedy_that_stores_nothing_twice(
    line: Line, url: str
) -> None:
    topic = line.names.predictions
    line.send([predicted(line.fleet.fleet, n) for n in range(20)], topic)
    export(line.settings, line.fleet, url)
    engine = create_engine(url)
    with engine.begin() as connection:  # as if the topic had come back from a backup, without its newest records
        connection.execute(update(OFFSETS).values(next_offset=OFFSETS.c.next_offset + 5))

    with pytest.raises(ExportError, match=rf"{topic}, partition \d ends at offset \d+, but \d+ were exported") as told:
        export(line.settings, line.fleet, url)
    remedy = re.search(r"DELETE FROM \w+ WHERE topic = '[^']+'", str(told.value))
    assert remedy is not None
    with engine.begin() as connection:
        connection.execute(text(remedy[0]))
    engine.dispose()
    line.send([predicted(line.fleet.fleet, n) for n in range(20, 30)], topic)
    export(line.settings, line.fleet, url)
    assert rows_of(url) == on_topic(read_all(line.settings, topic))


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 2**53 - 1) | st.integers(0, 2)), max_size=30
    ),
    st.lists(st.integers(0, 30), max_size=5),
)
def test_however_records_are_cut_into_portions_the_newest_of_a_key_holds(
    tmp_path_factory: pytest.TempPathFactory, keys: list[tuple[str, int, int]], cuts: list[int]
) -> None:
    rows = [row(device, run, seq, number) for number, (device, run, seq) in enumerate(keys)]
    places = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    url = f"sqlite:///{tmp_path_factory.mktemp('cuts')}/p.db"
    for begin, end in itertools.pairwise(places):
        database = Database(url, "topic", "id")
        before = database.offsets()
        database.write(rows[begin:end], before, {0: end})
        with pytest.raises(ExportError, match="another export"):
            database.write(rows[:1], {0: end + 1}, {0: end + 2})
        assert database.offsets() == {0: end}
        database.close()

    newest = {(r["device_id"], r["run"], r["seq"]): r["prediction"] for r in rows}
    assert {(r["device_id"], r["run"], r["seq"]): r["prediction"] for r in rows_of(url).values()} == newest


def row(device: str, run: int, seq: int, number: int) -> dict[str, Any]:
    class Message:
        def value(self) -> bytes:
            return msgspec.json.encode(Prediction("f", device, run, seq, NOW, float(number), "1", "1", NOW))

        def headers(self) -> list[tuple[str, bytes]]:
            return [("ce_id", f"t/0/{number}".encode())]

    return dict(row_of(Message()))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://u:s3cret@h/d", "mysql"),
        ("nothing", "cannot parse the URL"),
        ("sqlite:////no/such/folder/p.db", "unable to open database file"),
        ("postgresql://u:s3cret@127.0.0.1:1/d", "refused|missing"),
        ("strange://h/d", "strange"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(url: str, said: str) -> None:
    with pytest.raises(ExportError, match=said) as told:
        Database(url, "topic", "id")

    assert "s3cret" not in str(told.value)
    assert "\n" not in str(told.value)


def test_the_offsets_of_another_topic_of_the_same_name_are_its_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/p.db"
    Database(url, "topic", "first").write([], {}, {0: 7, 1: 3})
    second = Database(url, "topic", "second")

    assert second.offsets() == {}
    second.write([], {}, {0: 2})
    assert Database(url, "topic", "first").offsets() == {0: 7, 1: 3}
    with create_engine(url).connect() as connection:
        assert len(connection.execute(select(OFFSETS)).all()) == 3
