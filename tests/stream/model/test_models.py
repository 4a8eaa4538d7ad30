"""An announced artefact is served only if it is whole, ours, and answers."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aimaas.errors import ModelRefusedError
from aimaas.fleet import load_fleet
from aimaas.kernel.fit import Fit
from aimaas.kernel.plan import FeaturePlan, plan_of
from aimaas.model.artefact import INPUT, METADATA_KEY, OUTPUT, ModelMetadata, encode_metadata, sha256
from aimaas.model.intervals import Intervals
from aimaas.records.events import Announcement
from aimaas.settings import read_settings
from stream.model.load import ArtefactUnreachableError, TornArtefactError, load_model
from stream.model.opening import open_announced
from stream.model.watch import ModelWatcher
from tests.artefacts import note_as_tried, stored
from tests.conftest import FLEETS

SETTINGS = read_settings({"AIMAAS_HOME": tempfile.mkdtemp()})
FLEET = load_fleet(FLEETS / "mill.yaml")
PLAN = plan_of(FLEET)
WIDTH = len(PLAN.feature_names)


def fit_of(plan: FeaturePlan) -> Fit:
    c = len(plan.channels)
    return Fit(((0.0,) * plan.settings,), (0.0,) * plan.settings, ((0.0,) * c,), ((1.0,) * c,))


def metadata(fleet: str = FLEET.fleet, plan: FeaturePlan = PLAN) -> str:
    return encode_metadata(
        ModelMetadata(fleet, 1, "failure_within", "operations", "t", plan, fit_of(plan), (0, 1), "", "", 7, "", {})
    )


def artefact(op: str = "MatMul", about: str | None = None, width: int = WIDTH, answer: str = OUTPUT) -> bytes:
    """An ONNX file: features times ones, or what `op` makes of their sum."""
    nodes = [helper.make_node("MatMul", [INPUT, "w"], [answer if op == "MatMul" else "sum"])]
    nodes += [] if op == "MatMul" else [helper.make_node(op, ["sum"], [answer])]
    graph = helper.make_graph(
        nodes, "t",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(answer, TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(np.ones((width, 1), np.float32), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: metadata() if about is None else about})
    content: bytes = model.SerializeToString()
    return content


def announced(folder: Path, content: bytes, plan: FeaturePlan = PLAN) -> Announcement:
    path = stored(SETTINGS, f"{folder.name}/model.onnx", content)
    return Announcement(
        "champion", "3", 5, str(path), sha256(content), plan.hash, fit_of(plan).id, datetime(2026, 11, 23, tzinfo=UTC)
    )


def refusal(announcement: Announcement) -> str:
    """Why the bytes are refused, by the function that the trial and the scorer both call."""
    content, where = Path(announcement.uri).read_bytes(), "model mill version 3 at x"
    with pytest.raises(ModelRefusedError) as caught:
        open_announced(content, announcement, FLEET, SETTINGS.home / "models", where)
    return str(caught.value)


def test_a_whole_artefact_answers_one_row_with_the_bits_that_it_has_among_many(tmp_path: Path) -> None:
    model = load_model(announced(tmp_path, artefact()), FLEET, SETTINGS)
    rows = np.random.default_rng(1).normal(size=(50, WIDTH)).astype(np.float32)

    together = model.predict(rows)

    assert (model.version, model.sequence, together.shape) == ("3", 5, (50,))
    assert [float(model.predict(rows[i : i + 1])[0]) for i in range(50)] == together.tolist()


def test_a_file_uri_is_read_like_a_path(tmp_path: Path) -> None:
    found = announced(tmp_path, artefact())

    assert load_model(msgspec.structs.replace(found, uri=Path(found.uri).as_uri()), FLEET, SETTINGS).version == "3"


def other_plan() -> FeaturePlan:
    return msgspec.structs.replace(PLAN, windows=(5,))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"no onnx at all", "not a valid ONNX file"),
        (lambda: artefact()[:-40], "not a valid ONNX file|no usable metadata"),
        (lambda: artefact(about="{}"), "no usable metadata"),
        (lambda: artefact(about=metadata(fleet="turbofan")), "trained for fleet 'turbofan', not 'mill'"),
        (lambda: artefact(about=metadata(plan=other_plan())), "has plan .* the announced ones are"),
        (lambda: artefact(width=WIDTH + 1), "inputs .* expected"),
        (lambda: artefact(answer="y"), "inputs .* outputs .*'y'.* expected"),
        (lambda: artefact(op="Log"), "NaN or infinity"),
        (lambda: artefact(op="Reciprocal"), "NaN or infinity"),
        (lambda: artefact(op="NoSuchOperator"), "not a valid ONNX file|cannot run it"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_with_the_reason(
    make: Callable[[], bytes], says: str, tmp_path: Path
) -> None:
    message = refusal(announced(tmp_path, make()))

    assert message.startswith("model mill version 3 at ")
    assert len(message.splitlines()) == 1
    assert re.search(says, message), message


def test_a_file_that_differs_from_what_was_announced_is_refused(tmp_path: Path) -> None:
    found = announced(tmp_path, artefact(width=WIDTH + 1))
    Path(found.uri).write_bytes(artefact())

    with pytest.raises(TornArtefactError, match="SHA-256"):
        load_model(found, FLEET, SETTINGS)


def test_a_model_that_looks_further_back_than_the_state_is_refused(tmp_path: Path) -> None:
    plan = other_plan()
    found = announced(tmp_path, artefact(about=metadata(plan=plan)), plan)

    assert "the plan looks at 5 rows" in refusal(found)


def test_a_model_that_answers_by_the_company_of_a_row_is_refused(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(artefact())
    model.graph.node[0].output[0] = "sum"
    model.graph.node.append(helper.make_node("ReduceMax", ["sum"], ["most"], axes=[0], keepdims=1))
    model.graph.node.append(helper.make_node("Add", ["sum", "most"], [OUTPUT]))

    assert "depend on the number of rows" in refusal(announced(tmp_path, model.SerializeToString()))


def test_rows_at_which_the_model_fails_are_no_prediction_and_the_others_keep_theirs(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(artefact())  # the sum picks one of three numbers; beyond them onnxruntime fails
    model.graph.node[0].output[0] = "sum"
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["sum"], ["place"], to=TensorProto.INT64),
            helper.make_node("Abs", ["place"], ["at"]),
            helper.make_node("Gather", ["numbers", "at"], [OUTPUT]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(np.arange(100, dtype=np.float32), "numbers"))
    content = model.SerializeToString()
    note_as_tried(SETTINGS, FLEET, content)  # whose trial would find that it fails within the ranges
    served = load_model(announced(tmp_path, content), FLEET, SETTINGS)

    rows = np.zeros((3, WIDTH), np.float32)
    rows[1] = 1e6

    assert str(served.predict(rows).tolist()) == "[0.0, nan, 0.0]"
    assert np.isnan(served.predict(rows[1:2])).all()


@pytest.mark.parametrize(
    ("offset", "target_range"), [(1e300, (0.0, 1.0)), (1.0, (0.0, 1e300)), (1.0, (-1e300, 1.0)), (1e39, (0.0, 1.0))]
)
def test_a_model_whose_bounds_are_beyond_float32_is_refused(
    tmp_path: Path, offset: float, target_range: tuple[float, float]
) -> None:
    intervals = Intervals(0.9, (), (-1.0,), (offset,), 10, "calibration")
    about = ModelMetadata(
        FLEET.fleet, 1, "failure_within", "1", "t", PLAN, fit_of(PLAN), target_range, "", "", 7, "", {}, intervals
    )

    assert "a number is not finite or beyond float32" in refusal(
        announced(tmp_path, artefact(about=encode_metadata(about)))
    )


def test_a_file_that_is_not_there_may_come_yet(tmp_path: Path) -> None:
    gone = f"{SETTINGS.mlflow_artifacts}/gone.onnx"
    found = msgspec.structs.replace(announced(tmp_path, artefact()), uri=gone, sha256="0" * 64)

    with pytest.raises(ArtefactUnreachableError, match="cannot be read"):
        load_model(found, FLEET, SETTINGS)


@pytest.mark.parametrize(
    "uri", ["models:/x@y", "models:/mill/3", "runs:/1/model.onnx", "mlflow-artifacts:/3/model.onnx"]
)
def test_a_store_that_cannot_be_used_leaves_the_model_out_of_reach_with_one_line(
    tmp_path: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = msgspec.structs.replace(announced(tmp_path, artefact()), uri=uri, sha256="0" * 64)
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)

    with pytest.raises(ArtefactUnreachableError, match=r"cannot be read .* promote another version") as caught:
        load_model(found, FLEET, SETTINGS)
    assert len(str(caught.value).splitlines()) == 1
    assert list(working.iterdir()) == [], "no store was asked but that of the settings"


def test_whatever_ends_the_watching_is_raised_to_whoever_asks_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = ModelWatcher(SETTINGS, FLEET, "0")
    monkeypatch.setattr(watcher, "_follow", Mock(side_effect=KeyError("a defect")))

    watcher.start()

    assert watcher.wait_for_end(10)
    with pytest.raises(KeyError, match="a defect"):
        watcher.newest()
