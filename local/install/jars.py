"""Fetches the jars in `ivy.xml`, which pip does not install, with the Ivy in pyspark.

`<folder>/kafka` is the broker's class path, `<folder>/spark` has the jars that Spark needs beside its own.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from filelock import FileLock, Timeout

from aimaas.errors import StackError
from local.install.java import require_java

IVY_FILE = Path(__file__).with_name("ivy.xml")
NEEDED_BYTES = 400 * 1024**2
_FETCH_LIMIT_S = 1200
_NO_NETWORK = ("UnknownHostException", "Connection refused", "ConnectException", "timed out", "proxy server")


def kafka_jars(folder: Path) -> list[Path]:
    """Return the broker's class path below `folder`. Raises StackError if `make setup` has not fetched it."""
    return _fetched(folder, "kafka")


def spark_jars(folder: Path) -> list[Path]:
    """Return Spark's additional jars (`--jars`) below `folder`. Raises StackError if they are missing."""
    return _fetched(folder, "spark")


def are_fetched(folder: Path, ivy_file: Path = IVY_FILE) -> bool:
    """Return whether `folder` has exactly the jars in `ivy_file`."""
    stamp = folder / "fetched"
    return stamp.is_file() and stamp.read_text() == _digest(ivy_file)


def fetch_jars(folder: Path, ivy_file: Path = IVY_FILE) -> Path:
    """Fetch the jars of `ivy_file` into `folder`, unless it has them already. Return `folder`.

    Several processes may call this at once. Raises StackError without Java, network or disk space.
    """
    if are_fetched(folder, ivy_file):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=_FETCH_LIMIT_S):
            if not are_fetched(folder, ivy_file):
                _fetch(folder, ivy_file)
    except Timeout as problem:
        raise StackError(f"another process has been fetching jars into {folder} for 20 minutes: end it") from problem
    return folder


def _fetch(folder: Path, ivy_file: Path) -> None:
    java = require_java()
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise StackError(f"disk full: {folder} has {free >> 20} MB free, the jars need {NEEDED_BYTES >> 20} MB")
    for room in ("kafka", "spark"):  # a jar of an older version must not stay beside the new one
        shutil.rmtree(folder / room, ignore_errors=True)
    log = folder / "ivy.log"
    command = _ivy_command(java, folder, ivy_file)
    if not (_runs(command, log) or _runs(command, log)):  # one of some 90 connections may drop
        raise StackError(_why(log.read_text(errors="replace"), log))
    shutil.rmtree(folder / ".ivy", ignore_errors=True)  # only an interrupted fetch needs the cache again
    (folder / "fetched").write_text(_digest(ivy_file))


def _runs(command: list[str], log: Path) -> bool:
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, timeout=_FETCH_LIMIT_S / 2, check=False
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def _ivy_command(java: str, folder: Path, ivy_file: Path) -> list[str]:
    return [
        *(java, f"-Divy.default.ivy.user.dir={folder / '.ivy'}", "-jar", str(_ivy_jar())),
        *("-ivy", str(ivy_file), "-cache", str(folder / ".ivy" / "cache"), "-types", "jar", "bundle"),
        *("-retrieve", f"{folder}/[conf]/[artifact]-[revision].[ext]"),
    ]


def _ivy_jar() -> Path:
    import pyspark

    found = sorted((Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar"))
    if not found:
        raise StackError("this pyspark ships no Ivy: run `make setup` to install the locked version")
    return found[-1]


def _why(output: str, log: Path) -> str:
    if "No space left" in output:
        return f"disk full while fetching jars into {log.parent}: free disk space and run `make setup` again"
    if any(sign in output for sign in _NO_NETWORK):
        return f"the jars could not be fetched: no network, or the Maven repository is not reachable; details in {log}"
    return f"the jars could not be fetched; the reason is in {log}"


def _fetched(folder: Path, room: str) -> list[Path]:
    found = sorted((folder / room).glob("*.jar"))
    if not found or not (folder / "fetched").is_file():
        raise StackError(f"the {room} jars are missing in {folder}: run `make setup`")
    return found


def _digest(ivy_file: Path) -> str:
    if not ivy_file.is_file():
        raise StackError(f"{ivy_file} is missing: run this from a checkout of the project")
    return hashlib.sha256(ivy_file.read_bytes()).hexdigest()


def main() -> None:
    """Fetch the jars into the folder that the settings name (what `make setup` runs)."""
    import sys

    from aimaas.errors import AimaasError
    from aimaas.settings import read_settings

    try:
        folder = fetch_jars(read_settings().jars)
    except AimaasError as problem:
        sys.exit(f"error: {problem}")
    sys.stdout.write(f"jars are in {folder}\n")


if __name__ == "__main__":
    main()
