from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

from spark_jobs.training_sets.whole_devices import whole_devices


def batches_of(sizes: dict[str, int], seed: int) -> list[pa.RecordBatch]:
    """Rows of devices, sorted, in batches of any size, of which some are empty."""
    rng, ids = np.random.default_rng(seed), [device for device, n in sizes.items() for _ in range(n)]
    whole = pa.RecordBatch.from_pydict({"device_id": ids, "order": range(len(ids))})
    cuts = [0, *sorted(rng.integers(0, len(ids) + 1, 5).tolist()), len(ids)]
    return [whole.slice(a, b - a) for a, b in itertools.pairwise(cuts)]


@pytest.mark.parametrize("seed", range(30))
def test_a_device_is_never_cut_and_no_row_is_lost_or_moved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {f"d{i}": int(rng.choice([1, 2, 40])) for i in range(6)}

    found = list(whole_devices(batches_of(sizes, seed)))

    assert [order for batch in found for order in batch["order"].to_pylist()] == list(range(sum(sizes.values())))
    held = [device for batch in found for device in dict.fromkeys(batch["device_id"].to_pylist())]
    assert held == list(sizes), "each device is in one batch alone"


def test_where_no_rows_come_none_go() -> None:
    assert list(whole_devices([])) == []
    assert list(whole_devices(batches_of({"d": 3}, 1)[:0])) == []
