"""Two processes under Spark's TorchDistributor train one network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from aimaas.kernel.plan import plan_of
from aimaas.training.training_set import read_training_set
from models.families.candidates import candidates_of, predict
from models.samples import Samples
from models.selection.select import fit_alone
from tests.models.conftest import pump_fleet

pytestmark = pytest.mark.spark


@pytest.fixture
def no_session_left() -> Iterator[None]:
    """The session that training starts is stopped."""
    yield
    from pyspark.sql import SparkSession

    session = SparkSession.getActiveSession()
    if session is not None:
        session.stop()


def test_two_processes_train_one_network_the_same_each_time_and_about_as_good_as_one_process(
    training_set: Any, no_session_left: None
) -> None:
    fleet = pump_fleet({"cnn": {"epochs": 3, "networks": 1, "processes": 2}})
    rows = Samples.of(read_training_set(training_set(fleet)).rows)
    assert plan_of(fleet).sequence == 6
    (candidate,) = candidates_of(fleet)

    first, second = (fit_alone(candidate, rows, 7) for _ in range(2))

    assert len(first.held_out_losses_) == 3
    answers = predict(first, rows.features)
    assert np.array_equal(answers, predict(second, rows.features))
    alone = fit_alone(candidates_of(pump_fleet({"cnn": {"epochs": 3, "networks": 1}}))[0], rows, 7)
    errors = [np.sqrt(np.mean((a - rows.targets) ** 2)) for a in (answers, predict(alone, rows.features))]
    assert errors[0] < 1.2 * errors[1] < 0.5 * rows.targets.std()
    assert not np.array_equal(answers, predict(alone, rows.features))
