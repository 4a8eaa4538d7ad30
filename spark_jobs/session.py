"""The Spark session of every job: spark-submit's settings win; without spark-submit it is a small local session."""

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

# without these settings Delta tables cannot be read, and times would shift with the time zone of the machine
_NEEDED = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    # options of the source hold Kafka's passwords and keys; plans and logs would show them
    "spark.redaction.regex": "(?i)secret|password|token|access[.]?key|jaas|keystore",
    "spark.sql.redaction.options.regex": "(?i)url|secret|password|token|jaas|keystore",
    # tasks that replay a table's log; the default of 50 suits logs of millions of files
    "spark.databricks.delta.snapshotPartitions": "2",
}
# jobs are short: only the quick compiler (with the code cache of both, or a long session runs out of it), no collector threads,
# and no bytecode verification of pinned jars
_QUICK_START = (
    "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -XX:+UseSerialGC -XX:+UnlockDiagnosticVMOptions "
    "-XX:-BytecodeVerificationRemote"
)


def spark_session(settings: Settings, app: str, memory: str = "2g") -> SparkSession:
    """A session that reads Kafka and writes Delta. Raises SettingsError if it must bring the jars and does not find them.

    `memory` is the heap of the driver, unless spark-submit or an earlier session has set it.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if started_by_spark_submit():
        SparkContext._ensure_initialized()  # connects to the JVM, whose properties hold the submitted settings
    conf = SparkConf().setAppName(app)
    wanted = _NEEDED if started_by_spark_submit() else {**_NEEDED, **_alone(settings, memory)}
    for name, value in wanted.items():
        conf.setIfMissing(name, value)
    session = SparkSession.builder.config(conf=conf).getOrCreate()
    if session.sparkContext.master.startswith("local"):
        session.sparkContext.pythonExec = sys.executable  # the `python3` on the PATH lacks our packages
    # pyspark's accumulator server, which no job uses, prints a stack trace when the JVM dies; the job itself reports that
    session.sparkContext._accumulatorServer.handle_error = lambda *_: None
    return session


@contextmanager
def session_on_demand(settings: Settings, app: str, memory: str = "2g") -> Iterator[Callable[[], SparkSession]]:
    """A function that returns a session and starts it at the first call. A session that was started here ends with the block."""
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
    """The settings that spark-submit and its defaults file would give."""
    jars = sorted((settings.jars / "spark").glob("*.jar"))
    if not jars:
        raise SettingsError(f"{settings.jars / 'spark'}: no jars; run `make setup`, or set AIMAAS_JARS")
    local = settings.spark_master.startswith("local")  # also a `local-cluster`, whose executors run on this machine
    where = {f"spark.{part}.extraClassPath": f"{settings.jars / 'spark'}/*" for part in ("driver", "executor")}
    return {
        "spark.master": settings.spark_master,
        **(where if local else {"spark.jars": ",".join(map(str, jars))}),
        "spark.driver.memory": memory,
        "spark.driver.extraJavaOptions": _QUICK_START,
        **({"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"} if local else {}),
        "spark.log.level": "FATAL",  # errors are reported in one line (`failures`), not in Java's stack traces
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2" if local else "200",
        "spark.local.dir": str(settings.home / "spark"),
        "spark.sql.warehouse.dir": str(settings.home / "spark" / "warehouse"),
    }


def read_version(spark: SparkSession, settings: Settings, fleet: FleetSpec, table: Table, version: int) -> DataFrame:
    """A table as it was at a version."""
    return spark.read.format("delta").option("versionAsOf", version).load(table_path(settings, fleet.fleet, table))
