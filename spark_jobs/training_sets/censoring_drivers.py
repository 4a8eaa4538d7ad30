"""A model of the censoring rate by readings, if it predicts the censoring of devices that it has not seen.

The driver trains it on landmarks (`aimaas.labels.censoring_hazard`) of some whole devices. The SHA-256 of their ids selects the
devices. So the pass stays small, and the same gold gives the same model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan
from aimaas.labels.censoring import Censoring, landmarks_of, with_hazard
from aimaas.labels.censoring_hazard import FEWEST, MOST_LANDMARKS, PERIODS
from aimaas.labels.lifetimes import steps_needed
from spark_jobs.schemas import ENDS, LIFE
from spark_jobs.training_sets.kernel_pass import LANDMARK_COLUMNS, landmark_pass
from spark_jobs.training_sets.labels import features_in, places_of

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_ALL = 2**28  # seven hex digits


def with_readings(
    fleet: FleetSpec, plan: FeaturePlan, fit: Fit, rows: DataFrame, lives: DataFrame, censoring: Censoring
) -> Censoring:
    """The censoring with a hazard trained on `rows` of gold with their lives; unchanged if few lives are censored by chance."""
    if censoring.by_chance < FEWEST:
        return censoring
    some = rows.where(_among_the(min(1.0, MOST_LANDMARKS / _landmarks(fleet, lives))))
    made = (
        some.select(*LIFE, "order", "broker_ts", "split", *ENDS, *plan.readings)
        .repartition("device_id")
        .sortWithinPartitions("device_id", "run", "order")
        .mapInArrow(landmark_pass(fleet, plan, fit), LANDMARK_COLUMNS)
    )
    found = made.toArrow().sort_by([(name, "ascending") for name in ("device_id", "run", "order")])
    if not len(found):
        return censoring
    batch = found.combine_chunks().to_batches()[0]
    device = np.unique(batch["device_id"].to_numpy(zero_copy_only=False).astype(str), return_inverse=True)[1]
    landmarks = landmarks_of(fleet, censoring, places_of(batch), device.astype(np.int64), features_in(batch))
    return with_hazard(fleet, censoring, landmarks, _columns(plan))


def _columns(plan: FeaturePlan) -> tuple[int, ...]:
    """The features of the vector without the age: the hazard knows the age of later rows by itself."""
    return tuple(i for i, name in enumerate(plan.vector_names) if name != "age")


def _landmarks(fleet: FleetSpec, lives: DataFrame) -> int:
    """The approximate number of landmarks of these lives, at least 1."""
    from pyspark.sql import functions as f

    watched = f.coalesce("failure_order", "end_order", "life_newest") - f.col("life_first")
    found = lives.agg(f.sum(f.floor(watched / (steps_needed(fleet) / PERIODS)) + 1)).first()
    return max(1, int(found[0] or 0)) if found else 1


def _among_the(share: float) -> Column:
    """Condition: the device of the row belongs to this share of all devices."""
    from pyspark.sql import functions as f

    place = f.conv(f.substring(f.sha2("device_id", 256), 1, 7), 16, 10).cast("bigint")
    return place < int(share * _ALL)
