"""The jobs on clusters of several processes make the tables that they make in one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyspark
import pytest

from aimaas.settings import Settings
from local.install.java import require_java
from local.ports import HOST, answers, free_port
from local.supervision.processes import ManagedProcess, start_process
from tests.lake_faults.conftest import TO_GOLD, Twins, set_of
from tests.lake_faults.processes import ROOT, Running, environment, wait_until

pytestmark = [pytest.mark.broker, pytest.mark.spark, pytest.mark.timeout(1_500)]
SPARK_HOME = Path(pyspark.__file__).parent
LOCAL_CLUSTER = "local-cluster[2,1,2048]"


@pytest.fixture
def standalone(tmp_path: Path) -> Iterator[str]:
    """URL of a master that has two workers."""
    port, folder = free_port(), tmp_path / "cluster"
    running = [deploy(folder, "master", "master.Master", "--port", str(port))]
    url = f"spark://{HOST}:{port}"
    try:
        wait_until(lambda: answers(HOST, port))
        for n in (1, 2):
            share = ("--cores", "1", "--memory", "1536m", "--work-dir", str(folder / f"work{n}"))
            running.append(deploy(folder, f"worker{n}", "worker.Worker", *share, url))
        wait_until(lambda: all("Successfully registered" in process.log.read_text() for process in running[1:]))
        yield url
    finally:
        for process in reversed(running):
            process.kill()


def deploy(folder: Path, name: str, part: str, *arguments: str, on: Sequence[str] = ()) -> ManagedProcess:
    """Start a part of Spark's standalone cluster; `on` is the command that other commands are given to, if any."""
    classes = (f"{SPARK_HOME / 'jars'}/*", f"org.apache.spark.deploy.{part}")
    command = [*on, require_java(), "-Xmx512m", "-cp", *classes, "--host", HOST, "--webui-port", "0", *arguments]
    # the version of Scala is told by a file of Spark's own distribution, which pyspark lacks
    environ = os.environ | {"SPARK_HOME": str(SPARK_HOME), "PYTHONPATH": str(ROOT), "SPARK_SCALA_VERSION": "2.13"}
    return start_process(command, name=name, folder=folder, environ=environ)


def submitted(settings: Settings, master: str) -> list[str]:
    """`spark-submit` as a user of that cluster calls it."""
    jars = f"{settings.jars / 'spark'}/*"
    properties = {
        "spark.driver.extraClassPath": jars,
        "spark.executor.extraClassPath": jars,
        "spark.driver.host": HOST,
        "spark.sql.shuffle.partitions": "4",
        "spark.ui.enabled": "false",
    }
    given = [part for name, value in properties.items() for part in ("--conf", f"{name}={value}")]
    return [str(Path(sys.executable).with_name("spark-submit")), "--master", master, *given]


def test_two_executors_of_this_machine_make_the_same_tables(twins: Twins) -> None:
    assert_same_on_cluster(twins, [sys.executable], LOCAL_CLUSTER, AIMAAS_SPARK_MASTER=LOCAL_CLUSTER)


def test_a_standalone_master_with_two_workers_makes_the_same_tables(twins: Twins, standalone: str) -> None:
    assert_same_on_cluster(twins, submitted(twins.other, standalone), standalone)


def assert_same_on_cluster(twins: Twins, program: list[str], master: str, **environ: str) -> None:
    """Twice all jobs on an empty lake, the second time on what came since; the tables are those of local mode."""
    out = set_of(twins.other)
    for first, failing in ((0, ["d1"]), (15, ["d0", "d2", "d3", "d4"])):
        twins.send(first, 15, failing)
        twins.undisturbed(*TO_GOLD)
        command = [*program, str(Path(__file__).with_name("all_jobs.py")), twins.plant.fleet.fleet, f"{out}-{first}"]
        ended = Running(command, environment(twins.other, **environ), twins.other.home / f"jobs-{first}").ended()
        assert ended.code == 0, ended
        assert f"2 executors of {master}" in ended.out
    Path(f"{out}-15").rename(out)
    twins.undisturbed("features")
    twins.assert_equal()
    twins.assert_same_set()
