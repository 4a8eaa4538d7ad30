"""Exports predictions to SQL: one transaction writes rows and offsets, so a killed export loses and duplicates nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, and_, create_engine, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import CreateTable

from aimaas.errors import AimaasError
from stream.export.tables import OFFSETS, PREDICTIONS, TABLES

Row = Mapping[str, Any]
Offsets = Mapping[int, int]  # partition -> offset of the next record

_UPSERTS: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
_KEY = [column.name for column in PREDICTIONS.primary_key]
_LOCK_S = 60  # how long SQLite waits for another writer
_MAKING = 7_305_813_446_301_152_257  # key of the advisory lock for creating tables in Postgres: any number


class ExportError(AimaasError):
    """Predictions cannot be exported, because of the database or the state of the topic."""


class Database:
    """One database for the predictions of one topic, which has the id `topic_id` in Kafka.

    Creates missing tables. Raises ExportError; so do all of its methods if the database does not answer.
    """

    def __init__(self, url: str, topic: str, topic_id: str) -> None:
        self._place = {"topic": topic, "topic_id": topic_id}
        self._engine = _engine_of(url)
        self._insert = _UPSERTS[self._engine.dialect.name]
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":  # Postgres refuses one of two that create a table at once
                connection.execute(select(func.pg_advisory_xact_lock(_MAKING)))
            for table in TABLES.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))

    def offsets(self) -> dict[int, int]:
        """Return the next offset of each partition's export; a partition that was never exported is missing."""
        mine = and_(*(OFFSETS.c[name] == value for name, value in self._place.items()))
        with self._transaction() as connection:
            found = connection.execute(select(OFFSETS.c.partition, OFFSETS.c.next_offset).where(mine))
            return {row.partition: row.next_offset for row in found}

    def write(self, rows: Sequence[Row], before: Offsets, after: Offsets) -> None:
        """Write rows and move the offsets from `before` (a partition may be missing) to `after`: both or neither.

        Of rows with one key the last one wins, also over rows in the table. Raises ExportError if another export has moved
        the offsets since.
        """
        newest = list({tuple(row[name] for name in _KEY): row for row in rows}.values())
        with self._transaction() as connection:
            for partition, offset in sorted(after.items()):
                self._move(connection, partition, before.get(partition), offset)
            if newest:
                statement = self._insert(PREDICTIONS)
                others = {c.name: statement.excluded[c.name] for c in PREDICTIONS.c if c.name not in _KEY}
                connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=others), newest)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _move(self, connection: Connection, partition: int, before: int | None, after: int) -> None:
        """Compare and set the offsets: of two exports at once one fails and writes nothing."""
        row = {**self._place, "partition": partition, "next_offset": after}
        if before is None:
            done = connection.execute(self._insert(OFFSETS).on_conflict_do_nothing(), [row]).rowcount
        else:
            mine = and_(*(OFFSETS.c[name] == value for name, value in row.items() if name != "next_offset"))
            where = and_(mine, OFFSETS.c.next_offset == before)
            done = connection.execute(update(OFFSETS).where(where).values(next_offset=after)).rowcount
        if done != 1:
            raise ExportError(f"another export writes {self._place['topic']} into this database: stop one of the two")

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as e:
            raise ExportError(f"the database {self._engine.url!r}: {_sentence(e)}") from None


def _engine_of(url: str) -> Any:
    try:
        parsed = make_url(url)
        name = parsed.get_backend_name()
        if name not in _UPSERTS:
            raise ExportError(f"the export does not support {name!r} databases; use {' or '.join(sorted(_UPSERTS))}")
        if parsed.drivername == "postgresql":  # the same driver as Airflow's and MLflow's
            parsed = parsed.set(drivername="postgresql+psycopg2")
        return create_engine(parsed, connect_args={"timeout": _LOCK_S} if name == "sqlite" else {})
    except NoSuchModuleError as e:
        raise ExportError(f"{e}; use postgresql or sqlite") from None
    except ArgumentError:
        raise ExportError(
            "cannot parse the URL of the database; example: postgresql://user:password@host/name"
        ) from None
    except ModuleNotFoundError as e:
        raise ExportError(f"{e.name} is missing: `pip install 'aimaas[postgres]'`") from None


def _sentence(error: SQLAlchemyError) -> str:
    """Return the driver's message as one line."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:300]
