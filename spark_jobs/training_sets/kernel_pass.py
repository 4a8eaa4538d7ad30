"""Runs the kernel over sorted rows of whole devices, in Spark's Python workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.kernel.features import Kernel, kernel_of
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.kernel.state import DeviceState
from aimaas.labels.censoring import Censoring, landmark_rows
from aimaas.labels.lifetimes import Lives, lives_of
from spark_jobs.schemas import ENDS
from spark_jobs.training_sets.fitting import matrix
from spark_jobs.training_sets.labels import places_of, told
from spark_jobs.training_sets.whole_devices import whole_devices

if TYPE_CHECKING:
    import pyarrow as pa

LANDMARK_KEYS = ["device_id", "run", "order", "life_number", *ENDS]
LANDMARK_COLUMNS = (
    "device_id string, run bigint, `order` bigint, life_number int, life_first bigint, life_newest bigint, failure_order bigint, "
    "end_order bigint, features array<float>"
)
_KEPT = ["device_id", "run", "order", "split"]
_PIECE = 10_000  # rows per call of the kernel
_Batches = Iterator["pa.RecordBatch"]
Float64 = npt.NDArray[np.float64]


def labelled_pass(
    fleet: FleetSpec, plan: FeaturePlan, fit: Fit, censoring: Censoring
) -> Callable[[_Batches], _Batches]:
    """The function for `mapInArrow`: takes ordered raw rows with their lives (`places_of`), returns the rows that `told` keeps,
    with label, weight and features.
    """

    def passed(batches: _Batches) -> _Batches:
        kernel = kernel_of(plan, fit)
        for rows in whole_devices(batches):
            devices = _Devices.of(fleet, plan, rows)
            places = places_of(rows)
            for piece, part, features in devices.features(kernel):
                yield _labelled(part, *told(fleet, censoring, places.at(piece), features), features)

    return passed


def landmark_pass(fleet: FleetSpec, plan: FeaturePlan, fit: Fit) -> Callable[[_Batches], _Batches]:
    """The function for `mapInArrow`: takes ordered raw rows with lives, returns landmarks (`LANDMARK_COLUMNS`) with features."""

    def passed(batches: _Batches) -> _Batches:
        import pyarrow as pa

        kernel = kernel_of(plan, fit)
        for rows in whole_devices(batches):
            devices, places = _Devices.of(fleet, plan, rows), places_of(rows)
            among = landmark_rows(fleet, places)
            for piece, part, features in devices.features(kernel):
                kept = among[piece]
                columns = chosen(part.select(LANDMARK_KEYS), kept).columns
                yield pa.RecordBatch.from_arrays([*columns, _lists(features[kept])], [*LANDMARK_KEYS, "features"])

    return passed


@dataclass(frozen=True)
class _Devices:
    """Whole devices: their rows in order, their lives, and the kernel state with the slot of each row (n,)."""

    plan: FeaturePlan
    rows: pa.RecordBatch
    lives: Lives
    state: DeviceState
    slots: npt.NDArray[np.int64]

    @classmethod
    def of(cls, fleet: FleetSpec, plan: FeaturePlan, rows: pa.RecordBatch) -> _Devices:
        """The devices before their first rows, with empty state."""
        lives, state = lives_of(fleet, rows), DeviceState(plan.readings, plan.window, plan.first)
        ids = chosen(rows["device_id"], lives.new_device).to_pylist()
        return cls(plan, rows, lives, state, state.slots(ids)[np.cumsum(lives.new_device) - 1])

    def features(self, kernel: Kernel) -> Iterator[tuple[slice, pa.RecordBatch, Any]]:
        """Advance all rows; yields each piece's position, its rows and their features (m, F) float32."""
        for at in range(0, len(self.rows), _PIECE):  # one device may have millions of rows
            piece, part = slice(at, at + _PIECE), self.rows.slice(at, _PIECE)
            values = matrix(part, self.plan).astype(np.float32)
            yield piece, part, kernel.advance(self.state, self.slots[piece], values, self.lives.begins[piece])


def chosen(rows: Any, among: npt.NDArray[np.bool_]) -> Any:
    """The selected rows of a batch or of a column."""
    import pyarrow as pa

    return rows.filter(pa.array(among))


def _lists(features: Any) -> pa.ListArray:
    """Feature rows (n, F) as a column."""
    import pyarrow as pa

    offsets = np.arange(len(features) + 1, dtype=np.int32) * features.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.ascontiguousarray(features).reshape(-1)))


def _labelled(rows: pa.RecordBatch, kept: npt.NDArray[np.bool_], made: dict[str, Any], features: Any) -> pa.RecordBatch:
    """The kept rows with the columns `made` from their lives; the features follow label and weight."""
    import pyarrow as pa

    numbers = {name: pa.array(column[kept]) for name, column in made.items()}
    behind = {name: numbers.pop(name) for name in ("lower", "upper") if name in numbers}
    columns = [*chosen(rows.select(_KEPT), kept).columns, *numbers.values(), _lists(features[kept]), *behind.values()]
    return pa.RecordBatch.from_arrays(columns, [*_KEPT, *numbers, "features", *behind])
