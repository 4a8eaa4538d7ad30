"""The JVM's archive of Spark's loaded classes (class data sharing), made once by `make setup`.

A `spark-submit` of a small Delta job takes 28 s of processor time without the archive and 19 s with it. Most of the time is loading
and verifying some 20,000 classes. An archive fits one Java and one class path: `ensure_archive` makes a new one after either
changed, and the JVM ignores an archive that does not fit.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from aimaas.errors import AimaasError, StackError
from aimaas.settings import Settings, read_settings
from local.airflow.spark_settings import ARCHIVE, archive_of, write_spark_submit
from local.install.jars import spark_jars
from local.install.java import require_java

_LIMIT_S = 600
_MADE_OF = "spark.jsa.made_of"


def ensure_archive(settings: Settings) -> bool:
    """Make the archive unless it fits the present Java and jars. Return whether it was made.

    Raises StackError if the jars or Java are missing, or if the job that loads the classes fails.
    """
    with FileLock(settings.jars / ".lock", timeout=_LIMIT_S):
        wanted, noted = _fingerprint(settings), settings.jars / _MADE_OF
        if archive_of(settings.jars) and noted.is_file() and noted.read_text() == wanted:
            return False
        sys.stdout.write("archiving Spark's classes (half a minute)\n")
        sys.stdout.flush()
        noted.unlink(missing_ok=True)
        (settings.jars / ARCHIVE).unlink(missing_ok=True)
        _make(settings)
        noted.write_text(wanted)
        return True


def _make(settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        dump = f"-XX:ArchiveClassesAtExit={settings.jars / ARCHIVE} -Xlog:cds=off -Xlog:cds+dynamic=off"
        variables = write_spark_submit(folder, replace(settings, home=folder), dump)
        command = [str(folder / "bin" / "spark-submit"), "--master", "local[2]", str(_job()), str(folder / "table")]
        log = settings.jars / "spark-archive.log"
        with log.open("wb") as output:
            done = subprocess.run(
                command, env={**os.environ, **variables}, stdout=output, stderr=output, timeout=_LIMIT_S, check=False
            )
    if done.returncode != 0 or archive_of(settings.jars) is None:
        (settings.jars / ARCHIVE).unlink(missing_ok=True)
        raise StackError(f"the archive of Spark's classes could not be made; the reason is in {log}")


def _job() -> Path:
    return Path(__file__).with_name("spark_archive_job.py")


def _fingerprint(settings: Settings) -> str:
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise StackError("pyspark is not installed: run `make setup`")
    shipped = sorted((Path(found.origin).parent / "jars").glob("*.jar"))
    parts = [subprocess.run([require_java(), "-version"], capture_output=True, text=True, check=False).stderr]
    parts += [f"{jar} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in [*shipped, *spark_jars(settings.jars)]]
    return hashlib.sha256("\n".join([*parts, _job().read_text()]).encode()).hexdigest()


def main() -> None:
    """Make the archive in the folder AIMAAS_JARS. `make setup` runs this."""
    try:
        ensure_archive(read_settings())
    except AimaasError as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
