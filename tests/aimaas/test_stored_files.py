"""Files at a path and at a URI: Arrow's own file system stands behind both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aimaas.errors import LakeError
from aimaas.stored_files import at_hand, delete, delete_folder, exists, made_at, read, stored, uri_of, write

At = Callable[[str], str]


@pytest.fixture(params=["path", "URI"])
def at(request: pytest.FixtureRequest, tmp_path: Path) -> At:
    """The place of a name."""
    root = str(tmp_path) if request.param == "path" else tmp_path.as_uri()
    return lambda name: f"{root}/{name}"


def test_what_is_written_is_found_read_and_deleted(at: At) -> None:
    assert stored(at("set")) == []
    write(at("set/rows/a"), b"one")
    write(at("set/b"), b"two")
    write(at("set/b"), b"three")
    assert [(file.place, file.bytes) for file in stored(at("set"))] == [(at("set/b"), 5), (at("set/rows/a"), 3)]
    assert (read(at("set/b")), exists(at("set/b")), exists(at("set"))) == (b"three", True, False)
    delete(at("set/b"))
    delete(at("set/b"))
    with pytest.raises(FileNotFoundError):
        read(at("set/b"))
    delete_folder(at("set"))
    assert stored(at("set")) == []


def test_a_folder_made_here_is_there_once_the_block_ends_and_comes_back_whole(at: At) -> None:
    with made_at(at("trained")) as folder:
        write(folder / "model.onnx", b"model")
        write(folder / "card" / "card.html", b"card")
    with at_hand(at("trained")) as folder:
        assert ((folder / "model.onnx").read_bytes(), (folder / "card" / "card.html").read_bytes()) == (
            b"model",
            b"card",
        )


def test_a_uri_gets_nothing_of_work_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), made_at(f"{tmp_path.as_uri()}/trained") as folder:
        write(folder / "model.onnx", b"half")
        raise ZeroDivisionError
    assert stored(tmp_path / "trained") == []


def test_a_uri_with_nothing_or_of_no_known_kind_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="does not exist"), at_hand(f"{tmp_path.as_uri()}/gone"):
        pass
    with pytest.raises(LakeError, match=r"^ftp://host/set: cannot be accessed: .*ftp"):
        stored("ftp://host/set")


def test_spark_is_given_a_uri_of_either() -> None:
    assert uri_of("/lake/set") == "file:///lake/set"
    assert uri_of("s3a://plant/lake/set") == "s3a://plant/lake/set"
