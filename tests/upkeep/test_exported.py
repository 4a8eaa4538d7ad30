"""The statement that `aimaas forget` prints for the table of `aimaas export`, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert, select

from stream.export.tables import PREDICTIONS, TABLES
from upkeep.erasing.exported import delete_statement

_NOW = datetime(2026, 12, 1, tzinfo=UTC)


def row(fleet: str, device: str) -> dict[str, object]:
    place = {"fleet": fleet, "device_id": device, "run": 0, "seq": 1, "ts": _NOW}
    return {**place, "prediction": 1.0, "unit": "cycles", "model_version": "1", "scored_at": _NOW}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
@example("o'hare'; DROP TABLE aimaas_predictions; --")
@example("50%:a\\'")
def test_it_deletes_the_rows_of_the_device_and_no_other(device: str) -> None:
    others = {("mill", device + "x"), ("press", device)}
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        TABLES.create_all(connection)
        connection.execute(insert(PREDICTIONS), [row(*place) for place in (("mill", device), *others)])
        connection.exec_driver_sql(delete_statement("mill", device))
        left = {
            (fleet, found) for fleet, found in connection.execute(select(PREDICTIONS.c.fleet, PREDICTIONS.c.device_id))
        }
    engine.dispose()

    assert left == others
