"""Whether this machine can run the local stack: what `aimaas doctor` prints.

Each judgement is a plain function of what was measured; `examine` measures.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from aimaas.settings import Settings
from local import ports
from local.broker import serves
from local.jars import are_fetched
from local.java import installed_version
from local.preflight import Check, disk_check, java_check, python_check

NEEDED_MEMORY_MB = 6000
NEEDED_DISK_MB = 2000
LOCAL_BROKER = "localhost:9092"


def examine(settings: Settings) -> list[Check]:
    """Look at this machine and at what the settings name; takes a few seconds, changes nothing."""
    existing = _existing(settings.home)
    return [
        python_check(sys.version_info[:2]),
        packages_check(_version("pyspark"), _version("pyspark-client")),
        java_check(installed_version()),
        memory_check(psutil.virtual_memory().available),
        cores_check(psutil.cpu_count() or 1),
        disk_check(shutil.disk_usage(existing).free, settings.home, NEEDED_DISK_MB),
        home_check(settings.home, writable=os.access(existing, os.W_OK)),
        jars_check(settings.jars, fetched=are_fetched(settings.jars)),
        fleets_check(settings.fleets, len(list(settings.fleets.glob("*.yaml")))),
        ports_check(can_listen=_can_listen()),
        broker_check(settings.bootstrap_servers, reachable=serves(settings.kafka)),
        mlflow_check(settings.mlflow_tracking_uri, reachable=_tracking_answers(settings.mlflow_tracking_uri)),
    ]


def packages_check(pyspark: str | None, client: str | None) -> Check:
    """Judge the two packages that overwrite each other's files when their versions differ."""
    return Check(
        "packages",
        pyspark is not None and pyspark == client,
        f"pyspark {pyspark or 'missing'}, pyspark-client {client or 'missing'}",
        "both must be there in the same version: run `make setup`",
    )


def memory_check(available_bytes: int) -> Check:
    """Judge the free memory; broker, Airflow, Spark and scorer together take about 5 GB."""
    free_mb = available_bytes // 1024**2
    return Check(
        "memory", free_mb >= NEEDED_MEMORY_MB, f"{free_mb} MB free", f"{NEEDED_MEMORY_MB} MB are needed: end something"
    )


def cores_check(cores: int) -> Check:
    """Judge the number of processor cores."""
    return Check("cores", cores >= 2, str(cores), "two are needed for the stack to keep its pace")


def home_check(home: Path, *, writable: bool) -> Check:
    """Judge the folder that everything is written below."""
    return Check("home", writable, str(home), "it cannot be written to: set AIMAAS_HOME to a folder of yours")


def jars_check(folder: Path, *, fetched: bool) -> Check:
    """Judge whether the jars are those that ivy.xml lists."""
    found = f"{folder}" if fetched else f"missing or of other versions in {folder}"
    return Check("jars", fetched, found, "run `make setup`")


def fleets_check(folder: Path, count: int) -> Check:
    """Judge the folder of fleet files by how many it holds."""
    advice = "run this in the project's folder, or set AIMAAS_FLEETS"
    return Check("fleets", count > 0, f"{count} fleet files in {folder}", advice)


def ports_check(*, can_listen: bool) -> Check:
    """Judge whether a server may listen on the loopback address."""
    found = "free ones on the loopback address" if can_listen else "none can be opened"
    return Check("ports", can_listen, found, f"a server must be able to listen on {ports.HOST}: look at the firewall")


def broker_check(bootstrap_servers: str, *, reachable: bool) -> Check:
    """Judge the Kafka of the settings; that none runs at the default address is no fault."""
    if reachable:
        return Check("kafka", True, f"answers at {bootstrap_servers}", "")
    if bootstrap_servers == LOCAL_BROKER:
        return Check("kafka", True, f"none at {LOCAL_BROKER} (`aimaas up` and `aimaas demo` start one)", "")
    advice = "look at AIMAAS_KAFKA_BOOTSTRAP_SERVERS and at the cluster"
    return Check("kafka", False, f"no answer from {bootstrap_servers}", advice)


def mlflow_check(tracking_uri: str, *, reachable: bool) -> Check:
    """Judge the MLflow of the settings; a database file is made when it is needed."""
    found = "answers at" if reachable else "no answer from"
    return Check("mlflow", reachable, f"{found} {tracking_uri}", "look at AIMAAS_MLFLOW_TRACKING_URI and at the server")


def _existing(folder: Path) -> Path:
    """Return the folder itself or the nearest one above it that is there."""
    return next(f for f in (folder, *folder.parents) if f.is_dir())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _can_listen() -> bool:
    try:
        return ports.is_free(ports.free_port())
    except OSError:
        return False


def _tracking_answers(uri: str) -> bool:
    address = urlsplit(uri)
    if address.scheme not in ("http", "https") or address.hostname is None:
        return True  # a database: MLflow opens it when it is used
    return ports.answers(address.hostname, address.port or (443 if address.scheme == "https" else 80), timeout_s=3)
