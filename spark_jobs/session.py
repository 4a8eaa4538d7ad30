"""The Spark session of every job: under spark-submit what was submitted wins, alone it is a small local one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from aimaas.errors import SettingsError
from aimaas.fleet import FleetSpec
from aimaas.lake import Table, table_path
from aimaas.settings import Settings, started_by_spark_submit

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# without these Delta tables cannot be read, and times would shift with the machine's zone
_NEEDED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    # Kafka's passwords and keys stand in options of the source, which plans and logs would show
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas|keystore",
    "spark.sql.redaction.options.regex": "(?i)url|secret|password|token|jaas|keystore",
    # a table's log is replayed in so many tasks; the default of 50 suits logs of millions of files
    "spark.databricks.delta.snapshotPartitions": "2",
}
# jobs are short: the quick compiler alone (with the room for code that both have, or a long session runs out of it), no collector
# threads, and pinned jars need no check of their bytecode
_QUICK_START = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions "
    "-XX:-BytecodeVerificationRemote"
)


def spark_session(settings: Settings, app: str, memory: str = "2g") -> SparkSession:
    """A session that reads Kafka and writes Delta. Raises SettingsError where it must bring the jars and finds none.

    `memory` is the driver's heap, where no spark-submit and no session before has given it one.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if started_by_spark_submit():
        SparkContext._ensure_initialized()  # connects to the JVM, whose properties are what was submitted
    conf = SparkConf().setAppName(app)
    wanted = _NEEDED if started_by_spark_submit() else {**_NEEDED, **_alone(settings, memory)}
    for name, value in wanted.items():
        conf.setIfMissing(name, value)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if session.sparkContext.master.startswith("local"):
        session.sparkContext.pythonExec = sys.executable  # else the `python3` on the PATH, which lacks our packages
    # pyspark's server of accumulators, which no job uses, prints a stack trace when the JVM dies; the job itself says what happened
    session.sparkContext._accumulatorServer.handle_error = lambda *_: None
    return session


@contextmanager
def session_on_demand(settings: Settings, app: str, memory: str = "2g") -> Iterator[Callable[[], SparkSession]]:
    """What gives a session, and starts one when it is first asked; one that was started here ends with the block."""
    started: list[SparkSession] = []

    @cache
    def session() -> SparkSession:
        from pyspark.sql import SparkSession

        there = SparkSession.getActiveSession()
        found = spark_session(settings, app, memory)
        started.extend([] if there else [found])
        return found

    try:
        yield session
    finally:
        for mine in started:
            mine.stop()


def _alone(settings: Settings, memory: str) -> dict[str, str]:
    """What spark-submit and its defaults would have said."""
    jars = sorted((settings.jars / "spark").glob("*.jar"))
    if not jars:
        raise SettingsError(f"{settings.jars / 'spark'}: no jars; run `make setup`, or set AIMAAS_JARS")
    local = settings.spark_master.startswith(
        "local"
    )  # also a `local-cluster`, whose executors are processes of this machine
    where = {f"spark.{part}.extraClassPath": f"{settings.jars / 'spark'}/*" for part in ("driver", "executor")}
    return {
        "spark.master": settings.spark_master,
        **(where if local else {"spark.jars": ",".join(map(str, jars))}),
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": _QUICK_START,
        **({"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} if local else {}),
        "spark.log.level": "FATAL",  # what failed is told in one line (`failures`), not in Java's stack traces
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2" if local else "200",
        "spark.local.dir": str(settings.home / "spark"),
        "spark.sql.warehouse.dir": str(settings.home / "spark" / "warehouse"),
    }


def read_version(spark: SparkSession, settings: Settings, fleet: FleetSpec, table: Table, version: int) -> DataFrame:
    """A table as it was at a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(table_path(settings, fleet.fleet, table))
