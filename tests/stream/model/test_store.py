"""Announced artefacts are read from the configured store only, and never more bytes than are allowed."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from aimaas.errors import ModelRefusedError
from aimaas.settings import Settings
from stream.model.fetch import ArtefactUnreachableError, fetch_artefact
from stream.model.store import check_place
from tests.artefacts import stored


def is_allowed(uri: str, store: str, settings: Settings, tracking: str = "http://mlflow:5000") -> bool:
    try:
        check_place(uri, replace(settings, mlflow_artifacts=store, mlflow_tracking_uri=tracking), "model x")
    except ModelRefusedError as e:
        assert "AIMAAS_MLFLOW_ARTIFACTS" in str(e) and len(str(e).splitlines()) == 1
        return False
    return True


@pytest.mark.parametrize(
    ("uri", "store"),
    [
        ("s3://bucket/art/1/model.onnx", "s3://bucket/art"),
        ("S3://bucket/art/1/model.onnx", "s3://bucket/art/"),
        ("s3://bucket/art//1/a%20b.onnx", "s3://bucket/art"),
        ("http://h:1/a/1", "http://H:1/a"),
        ("mlflow-artifacts:/turbofan/1/model.onnx", "mlflow-artifacts:/"),
        ("mlflow-artifacts://mlflow:5000/turbofan/1/model.onnx", "mlflow-artifacts:/"),
        ("mlflow-artifacts:/turbofan/1/model.onnx", "s3://bucket/art"),
        ("models:/turbofan/3", "s3://bucket/art"),
        ("runs:/0a1b/model.onnx", "/srv/artefacts"),
    ],
)
def test_what_lies_below_the_store_or_is_resolved_by_mlflow_is_allowed(
    uri: str, store: str, offline_settings: Settings
) -> None:
    assert is_allowed(uri, store, offline_settings)


@pytest.mark.parametrize(
    ("uri", "store"),
    [
        ("s3://bucket/art", "s3://bucket/art"),
        ("s3://bucket/artx/1", "s3://bucket/art"),
        ("s3://other/art/1", "s3://bucket/art"),
        ("gs://bucket/art/1", "s3://bucket/art"),
        ("s3://bucket/art/../x", "s3://bucket/art"),
        ("s3://bucket/art/%2e%2e/x", "s3://bucket/art"),
        ("s3://bucket/art/%252e%252e/x", "s3://bucket/art"),
        ("s3://bucket/art/..\\\\x", "s3://bucket/art"),
        ("s3://bucket/art/1?versionId=2", "s3://bucket/art"),
        ("http://h:1@evil/a/1", "http://h:1/a"),
        ("http://h:2/a/1", "http://h:1/a"),
        ("http://127.0.0.1:1/x", "/srv/artefacts"),
        ("http://[x", "/srv/artefacts"),
        ("%00", "/srv/artefacts"),
        ("\\0", "/srv/artefacts"),
        ("relative/model.onnx", "relative"),
        ("/srv/artefacts", "/srv/artefacts"),
        ("/srv/artefacts2/x", "/srv/artefacts"),
        ("/srv/artefacts/../x", "/srv/artefacts"),
        ("/etc/passwd", "s3://bucket/art"),
        ("file:///etc/passwd", "s3://bucket/art"),
        ("file:///srv/artefacts/%2e%2e/x", "/srv/artefacts"),
        ("file://evil/srv/artefacts/x", "/srv/artefacts"),
        ("mlflow-artifacts://evil:5000/1/model.onnx", "mlflow-artifacts:/"),
        ("mlflow-artifacts:/../1/model.onnx", "mlflow-artifacts:/"),
        ("mlflow-artifacts:/b/1", "mlflow-artifacts:/a"),
        ("models://profile@databricks/x/1", "s3://bucket/art"),
        ("models:/../x", "s3://bucket/art"),
        ("models:/", "s3://bucket/art"),
        ("ftp://h/x", "s3://bucket/art"),
        ("s3://bucket/art/\\t1", "s3://bucket/art"),
        ("", "/srv/artefacts"),
    ],
)
def test_what_lies_elsewhere_is_refused(uri: str, store: str, offline_settings: Settings) -> None:
    assert not is_allowed(uri.encode().decode("unicode_escape"), store, offline_settings)


def test_links_are_followed_before_a_place_is_judged(offline_settings: Settings, tmp_path: Path) -> None:
    store = tmp_path / "store"
    inside, outside = store / "1.onnx", tmp_path / "other.onnx"
    store.mkdir()
    inside.write_bytes(b"x")
    outside.write_bytes(b"x")
    (store / "out.onnx").symlink_to(outside)
    (store / "round").symlink_to(store / "round")
    (tmp_path / "way").symlink_to(store)
    assert is_allowed(str(tmp_path / "way" / "1.onnx"), str(store), offline_settings)
    assert is_allowed(inside.as_uri(), str(tmp_path / "way"), offline_settings)
    assert not is_allowed(str(store / "out.onnx"), str(store), offline_settings)
    assert not is_allowed(str(store / "round"), str(store), offline_settings)


def fetch(settings: Settings, uri: str, limit_s: float = 60.0) -> bytes:
    return fetch_artefact(uri, "model x", settings, limit_s)


def test_a_file_is_read_up_to_the_bound(offline_settings: Settings) -> None:
    small = replace(offline_settings, model_bytes=10)
    assert fetch(small, str(stored(small, "a b%20#?", b"0123456789"))) == b"0123456789"
    with pytest.raises(ModelRefusedError, match="more than the 10 bytes that AIMAAS_MODEL_BYTES allows"):
        fetch(small, str(stored(small, "b", b"0123456789x")))


def test_what_is_no_file_is_out_of_reach_and_never_waited_for(offline_settings: Settings) -> None:
    folder = stored(offline_settings, "a/x", b"").parent
    os.mkfifo(folder / "pipe")
    for uri in (folder, folder / "pipe", folder / "gone", Path("/dev/zero")):
        with pytest.raises(ArtefactUnreachableError, match="cannot be read"):
            fetch(offline_settings, str(uri))


def test_a_server_that_hangs_costs_the_limit_and_a_stop_ends_it(offline_settings: Settings) -> None:
    import socket

    from stream.model.child import StoppedError

    with socket.create_server(("127.0.0.1", 0)) as listener:
        there = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hanging = replace(offline_settings, mlflow_tracking_uri=there)
        with pytest.raises(ArtefactUnreachableError, match=r"cannot be read \(not finished within 1 s\)"):
            fetch(hanging, "models:/x/1", limit_s=1.0)
        stop = threading.Event()
        stop.set()
        with pytest.raises(StoppedError):
            fetch_artefact("models:/x/1", "model x", hanging, 60.0, stop)
