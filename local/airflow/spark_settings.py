"""Spark settings of the local stack, which make a `spark-submit` fast on one small machine.

The stack has its own `spark-submit`, first on its PATH, which passes a properties file to the real one. So the settings apply
neither to the jobs themselves nor to a cluster behind `spark_default`. A `SPARK_CONF_DIR` with files would do the same, but it is
on the class path, where the JVM's archive of loaded classes allows empty folders only.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from aimaas.settings import Settings

# for a short job: only the fast compiler, no collector threads that compete for two cores, no collection to grow the heap
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xms512m -XX:MetaspaceSize=256m"

ARCHIVE = "spark.jsa"  # archive of loaded classes, in the folder of the jars; spark_archive.py makes it
_EMPTY = "spark-conf"

_LOGGING = """\
# written by local/airflow/spark_settings.py at every start
rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss} %p %c{1}: %m%n%ex
# true on every machine without Hadoop's own libraries, and of no use in a task's log
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
logger.conf.name = org.apache.spark.SparkConf
logger.conf.level = error
logger.strings.name = org.apache.spark.util.SparkStringUtils
logger.strings.level = error
"""


def archive_of(jars: Path) -> Path | None:
    """Return the archive beside the jars; None if there is none."""
    archive = jars / ARCHIVE
    return archive if archive.is_file() else None


def empty_conf_folder(jars: Path) -> Path:
    """Return the folder for `SPARK_CONF_DIR` on the class path: always the same, always empty."""
    folder = jars / _EMPTY
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def spark_properties(settings: Settings, java_options: str) -> dict[str, str]:
    """Return Spark's properties. Spark reads the jars in place, without a copy."""
    jars = f"{settings.jars / 'spark'}/*"
    return {
        "spark.driver.extraClassPath": jars,
        "spark.executor.extraClassPath": jars,
        "spark.driver.extraJavaOptions": java_options,
        "spark.driver.memory": "2g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.warehouse.dir": str(settings.home / "spark" / "warehouse"),
        "spark.local.dir": str(settings.home / "spark"),
    }


def write_spark_submit(folder: Path, settings: Settings, java_options: str = "") -> dict[str, str]:
    """Write the stack's `bin/spark-submit` and its files into `folder`. Return the variables with which it is used.

    `java_options` are added to those for a short job. Without them, the job uses the archive of classes if there is one.
    """
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    logging, properties, submit = (
        folder / "log4j2.properties",
        folder / "spark.properties",
        folder / "bin" / "spark-submit",
    )
    logging.write_text(_LOGGING)
    options = f"{QUICK_JAVA} -Dlog4j2.configurationFile={logging.as_uri()} {java_options or _use_archive(settings)}"
    lines = [f"{name} {value}" for name, value in spark_properties(settings, options.strip()).items()]
    properties.write_text("\n".join(lines) + "\n")
    real = shlex.quote(str(Path(sys.executable).parent / "spark-submit"))
    submit.write_text(f'#!/bin/sh\nexec {real} --properties-file {shlex.quote(str(properties))} "$@"\n')
    submit.chmod(0o755)
    return spark_variables(folder, settings)


def spark_variables(folder: Path, settings: Settings) -> dict[str, str]:
    """Return the variables that a process needs beside the PATH entry `<folder>/bin`."""
    return {
        "SPARK_CONF_DIR": str(empty_conf_folder(settings.jars)),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
    }


def _use_archive(settings: Settings) -> str:
    archive = archive_of(settings.jars)
    if archive is None:
        return "-XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"  # the jars are pinned
    # the JVM silently ignores an archive that no longer fits the class path: the job only starts more slowly
    return f"-XX:SharedArchiveFile={archive} -Xlog:cds=off -Xlog:cds+dynamic=off -Xlog:class+path=off"
