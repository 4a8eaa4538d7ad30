"""`POST /explain`: the prediction of `/predict`, and the effect of each channel on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from aimaas.kernel.plan import channels_of, plan_of
from stream.service.explanations import reasons
from tests.stream.service.conftest import Served


def event(a: float, b: float) -> dict[str, Any]:
    return {"readings": {"o": 1.0, "a": a, "b": b, "n": 0.5}}


BODY = {"instances": [{"events": [event(4, 2), event(5, 1)]}, {"events": [event(-3, 2)]}]}


def test_the_prediction_is_that_of_predict_and_the_effects_are_what_the_typical_channel_would_change(
    served: Served,
) -> None:
    # the model sums features times weights, so the effect of a channel is the sum over its features of weight x (feature - 1)
    explained, predicted = served.call("/explain?top=9", BODY).json, served.call("/predict", BODY).json
    assert explained["prediction"] == predicted["prediction"]
    assert explained["model_version"] == "1"
    names = plan_of(served.fleet).feature_names
    channels, weights = channels_of(names), np.linspace(0.1, 1, len(names), dtype=np.float32)
    row = np.arange(len(names), dtype=np.float32)
    by_features = served.call("/explain?top=9", {"features": row.tolist()}).json["reasons"][0]
    assert {r["channel"]: r["effect"] for r in by_features} == pytest.approx(
        {name: float((weights * (row - 1))[places].sum()) for name, places in channels.items()}, rel=1e-4, abs=1e-3
    )
    sizes = [abs(r["effect"]) for r in by_features]
    assert sizes == sorted(sizes, reverse=True)
    assert [len(r) for r in explained["reasons"]] == [len(channels)] * 2


def test_three_channels_are_named_where_the_request_does_not_say(served: Served) -> None:
    assert [len(r) for r in served.call("/explain", BODY).json["reasons"]] == [3, 3]


def test_reasons_do_not_depend_on_how_many_instances_are_explained_at_once(served: Served) -> None:
    random = np.random.default_rng(3)
    features = random.normal(size=(1_500, served.model.kernel.width)).astype(np.float32)
    predictions = served.model.predict(features)
    together = reasons(served.model, features, predictions)
    assert together[-1] == reasons(served.model, features[-1:], predictions[-1:])[0]


@pytest.mark.parametrize("top", ["0", "x", "-1", "5000"])
def test_a_wrong_number_of_channels_is_named(served: Served, top: str) -> None:
    answer = served.call(f"/explain?top={top}", BODY)
    assert answer.status == 422
    assert f"found '{top}', allowed: 1 to" in answer.json["detail"]


def test_a_number_of_channels_with_more_digits_than_python_reads_is_refused_too(served: Served) -> None:
    assert served.call(f"/explain?top={'9' * 5_000}", BODY).status == 422


def test_a_reading_that_the_judge_refuses_is_named_as_in_predict(served: Served) -> None:
    bad = {"instances": [{"events": [event(4, 2)]}, {"events": [event(99, 2)]}]}
    explained, predicted = served.call("/explain", bad), served.call("/predict", bad)
    assert (explained.status, explained.json["errors"]) == (422, predicted.json["errors"])


def test_a_model_made_before_typical_values_were_kept_says_so(served: Served, tmp_path: Path) -> None:
    old = type(served)(tmp_path)
    old.model = dataclasses.replace(old.model, metadata=msgspec.structs.replace(old.model.metadata, typical=None))
    with old.start():
        answer = old.call("/explain", BODY)
    assert (answer.status, answer.json["type"]) == (409, "urn:aimaas:problem:no-reasons")
    assert "train it again" in answer.json["detail"]
