"""A model is run once where its crash, its endlessness or its hunger harms nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from aimaas.errors import ModelRefusedError
from aimaas.model.artefact import OUTPUT, sha256
from aimaas.settings import Settings
from stream.model import trial
from stream.model.child import Ended, StoppedError, run_child
from stream.model.copies import KEPT, Copies
from stream.model.fetch import ArtefactUnreachableError
from stream.model.load import load_model
from stream.model.trial import try_out
from tests.artefacts import stored
from tests.stream.model.test_models import FLEET, announced, artefact

ROOT = Path(__file__).resolve().parents[3]


def tried(content: bytes, settings: Settings, folder: Path, limit_s: float = trial.LIMIT_S) -> None:
    try_out(content, announced(folder, content), FLEET, Copies(settings, FLEET), "model x", limit_s)


def with_nodes(nodes: list[Any], **constants: np.ndarray[Any, Any]) -> bytes:
    """The sum of the features goes through these nodes from `sum` to the output."""
    model = onnx.load_model_from_string(artefact())
    model.graph.node[0].output[0] = "sum"
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    content: bytes = model.SerializeToString()
    return content


def nan_at_real_features() -> bytes:
    """Finite for rows of noise; NaN for what the kernel makes of readings: some hundred kelvin are no noise."""
    nodes = [
        helper.make_node("Sub", ["limit", "sum"], ["left"]),
        helper.make_node("Log", ["left"], ["log"]),
        helper.make_node("Identity", ["log"], [OUTPUT]),
    ]
    return with_nodes(nodes, limit=np.array([200], np.float32))


def hungry() -> bytes:
    """Makes a tensor of 64 GB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("Add", ["sum", "total"], [OUTPUT]),
    ]
    return with_nodes(nodes, shape=np.array([16 * 1024**3], np.int64))


def test_a_sound_model_passes_once_and_is_known_then(
    offline_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, settings = announced(tmp_path, artefact()), offline_settings
    tried(artefact(), settings, tmp_path)
    monkeypatch.setattr(trial, "run_child", lambda *_: pytest.fail("a known model is not tried again"))
    tried(artefact(), settings, tmp_path)
    other = FLEET.model_copy(update={"version": FLEET.version + 1})
    assert trial.fingerprint(found.sha256, FLEET) != trial.fingerprint(found.sha256, other)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: b"no onnx", "not a valid ONNX file"),
        (nan_at_real_features, "NaN or infinity for readings within the fleet's ranges"),
        (hungry, "smoke run failed|cannot run it|trial failed"),
    ],
)
def test_a_model_that_does_not_pass_is_refused_in_one_line(
    make: Callable[[], bytes], says: str, offline_settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefusedError, match=says) as caught:
        tried(make(), offline_settings, tmp_path)
    assert type(caught.value) is ModelRefusedError, "it stays refused"
    assert str(caught.value).startswith("model x: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (Ended(-signal.SIGSEGV, b"", ""), "crashed with SIGSEGV"),
        (Ended(-signal.SIGABRT, b"", "terminate called"), "crashed with SIGABRT"),
        (Ended(1, b"", "Traceback\nMemoryError"), "ended with MemoryError"),
        (Ended(None, b"", ""), "ran for more than 120 s"),
        (Ended(0, b"", ""), "ended with no message"),
    ],
)
def test_however_a_trial_ends_the_model_is_refused(
    ended: Ended, says: str, offline_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "run_child", lambda *_: ended)
    with pytest.raises(ModelRefusedError, match=says):
        tried(artefact(), offline_settings, tmp_path)


def test_a_trial_that_the_machine_broke_off_is_repeated(
    offline_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "run_child", lambda *_: Ended(-signal.SIGKILL, b"", ""))
    with pytest.raises(ArtefactUnreachableError, match="out of memory"):
        tried(artefact(), offline_settings, tmp_path)
    monkeypatch.setattr(trial, "run_child", lambda *_: Ended(None, b"", ""))
    with pytest.raises(ArtefactUnreachableError, match="too slow"):
        tried(artefact(), offline_settings, tmp_path, limit_s=20.0)


def child(
    tmp_path: Path, body: str, limit_s: float = 60.0, stop: threading.Event | None = None, given: bytes = b"given"
) -> Ended:
    """What becomes of a child with this body."""
    name = f"child_{sha256(body.encode())[:8]}"  # one name would find the former one's compiled code
    (tmp_path / f"{name}.py").write_text(f"import os, sys, time, signal\ndef main(arguments):\n    {body}\n")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(tmp_path)
    try:
        return run_child(name, ["a"], given, limit_s, stop)
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def test_a_child_crashes_hangs_and_spawns_without_harm(tmp_path: Path) -> None:
    assert child(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)").code == -signal.SIGSEGV
    assert child(tmp_path, "os.abort()").code == -signal.SIGABRT
    assert child(tmp_path, "time.sleep(600)", limit_s=1.0).code is None
    assert child(tmp_path, "sys.stdout.write(sys.stdin.read() + arguments[0])").out == b"givena"
    slow = "time.sleep(1); sys.stdout.write(sys.stdin.read())"
    assert child(tmp_path, slow, given=b"x" * 5_000_000).out == b"x" * 5_000_000, "more than a pipe holds, later"
    assert child(tmp_path, "os._exit(3)", given=b"x" * 5_000_000).code == 3
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        child(tmp_path, "time.sleep(600)", stop=stop)


def test_a_child_sees_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIMAAS_KAFKA_SASL_PASSWORD", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    assert b"s3cret" not in child(tmp_path, "print(dict(os.environ))").out


def test_a_child_that_outlives_its_parent_ends_by_itself() -> None:
    program = "from stream.model.child import bound; import time; bound(2**32, 2**20, 1); time.sleep(600)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == -signal.SIGALRM


def test_the_copies_are_whole_few_and_spare_the_store(offline_settings: Settings, tmp_path: Path) -> None:
    copies = Copies(offline_settings, FLEET)
    made = []
    for i in range(KEPT + 2):
        content = with_nodes([helper.make_node("Add", ["sum", "more"], [OUTPUT])], more=np.array([i], np.float32))
        made.append(announced(tmp_path, content))
        copies.note_passed(sha256(content), "t")
        copies.keep(made[-1], content)
        assert copies.content(sha256(content)) == content
    folder = offline_settings.home / "models" / FLEET.fleet
    assert {p.suffix for p in folder.iterdir()} == {".onnx", ".json", ".trial"}
    assert len(list(folder.iterdir())) == 3 * KEPT
    assert len(copies.announcements()) == KEPT

    (folder / f"{made[-1].sha256}.onnx").write_bytes(b"torn")
    assert copies.content(made[-1].sha256) is None


def test_a_known_model_loads_while_its_store_is_gone(offline_settings: Settings, tmp_path: Path) -> None:
    path = stored(offline_settings, "m.onnx", artefact())
    found = msgspec.structs.replace(announced(tmp_path, artefact()), uri=str(path))
    load_model(found, FLEET, offline_settings)
    shutil.rmtree(path.parent)
    assert load_model(found, FLEET, offline_settings).version == found.version
