"""Sessions open whatever the disk says; what can be kept there is a help only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from aimaas.model.artefact import sha256
from aimaas.model.cached_session import open_session


def model() -> bytes:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "t", value[:1], value[1:])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    content: bytes = made.SerializeToString()
    return content


def answers(folder: Path) -> bool:
    content = model()
    session = open_session(content, sha256(content), folder)
    (found,) = session.run(["y"], {"x": np.ones((2, 1), np.float32)})
    return bool((found == -1).all())


def entry(folder: Path, suffix: str) -> Path:
    return folder / f"{sha256(model())}-{onnxruntime.__version__}.{suffix}"


@pytest.mark.parametrize(
    "block",
    [
        lambda path: path.symlink_to("/dev/full"),  # as a full disk answers
        lambda path: path.mkdir(),
    ],
)
def test_a_model_is_opened_where_its_optimised_graph_cannot_be_written(
    tmp_path: Path, block: Callable[[Path], None]
) -> None:
    block(entry(tmp_path, str(os.getpid())))

    assert answers(tmp_path)
    assert not entry(tmp_path, "onnx").exists()


def test_a_torn_entry_of_the_cache_is_made_anew(tmp_path: Path) -> None:
    assert answers(tmp_path)
    kept, digest = entry(tmp_path, "onnx"), entry(tmp_path, "sha256")
    whole = kept.read_bytes(), digest.read_bytes()
    for path, torn in ((kept, b"torn"), (digest, b"\xff\xfe")):
        path.write_bytes(torn)
        assert answers(tmp_path)
        assert (kept.read_bytes(), digest.read_bytes()) == whole
