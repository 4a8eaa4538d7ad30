"""What re-scoring writes of an answer that is no number."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from aimaas.fleet import load_fleet
from aimaas.model.intervals import Intervals
from aimaas.model.loaded import read_metadata
from spark_jobs.schemas import arrow_schema
from spark_jobs.training_sets.served_view import KEPT, Artefact, predict_served
from tests.conftest import FLEETS
from tests.stream.conftest import SILENT_ABOVE, tiny_model

FLEET = load_fleet(FLEETS / "turbofan.yaml")
INTERVALS = Intervals(0.9, (), (-1.0,), (1.0,), 10, "calibration")


def silver(altitudes: list[float]) -> pa.RecordBatch:
    """Rows of one device, all readings in the middle of their ranges but the altitude."""
    n, at = len(altitudes), datetime(2026, 11, 23, tzinfo=UTC)
    columns: dict[str, Any] = {
        "topic": ["t"] * n, "partition": [0] * n, "offset": list(range(n)), "broker_ts": [at] * n,
        "device_id": ["d"] * n, "run": [0] * n, "seq": list(range(n)), "ts": [at] * n,
    }  # fmt: skip
    kinds = {**KEPT, "day": "date", "begins": "boolean", **dict.fromkeys(FLEET.readings, "double"), "wanted": "boolean"}
    columns |= {name: [sum(r.range) / 2] * n for name, r in zip(FLEET.readings, FLEET.reading_specs, strict=True)}
    columns |= {"o1": altitudes, "day": [at.date()] * n, "begins": [True] + [False] * (n - 1), "wanted": [True] * n}
    return pa.RecordBatch.from_pydict({name: columns[name] for name in kinds}, schema=arrow_schema(kinds))


@pytest.mark.parametrize("intervals", [None, INTERVALS])
def test_an_answer_that_is_no_number_is_null_and_the_rows_around_it_have_theirs(
    tmp_path: Path, intervals: Intervals | None
) -> None:
    content = tiny_model(FLEET, intervals=intervals, silent=True)
    artefact = Artefact(content, "4", read_metadata(content, "x"), tmp_path, "x")

    found = pa.Table.from_batches(predict_served(artefact)(iter([silver([10.0, SILENT_ABOVE + 1, 20.0])])))

    numbers = found.select(["prediction", "lower", "upper"]).to_pydict()
    assert [x is None for x in numbers["prediction"]] == [False, True, False]
    assert np.isfinite([x for x in numbers["prediction"] if x is not None]).all()
    for bound in ("lower", "upper"):
        assert [x is None for x in numbers[bound]] == ([True] * 3 if intervals is None else [False, True, False])
