"""The checks of `aimaas doctor`: whether this machine can run the local stack.

`examine` measures. Each check is a plain function of a measured value.
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
from local.install.jars import are_fetched
from local.install.java import installed_version
from local.install.preflight import Check, disk_check, java_check, python_check

NEEDED_MEMORY_MB = 6000
NEEDED_DISK_MB = 2000
LOCAL_BROKER = "localhost:9092"


def examine(settings: Settings) -> list[Check]:
    """Check this machine and the settings. Takes a few seconds and changes nothing."""
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
    """Check the two packages that overwrite each other's files if their versions differ."""
    return Check(
        "packages",
        pyspark is not None and pyspark == client,
        f"pyspark {pyspark or 'missing'}, pyspark-client {client or 'missing'}",
        "both must be installed in the same version: run `make setup`",
    )


def memory_check(available_bytes: int) -> Check:
    """Check the free memory. Broker, Airflow, Spark and scorer together take about 5 GB."""
    free_mb = available_bytes // 1024**2
    return Check(
        "memory",
        free_mb >= NEEDED_MEMORY_MB,
        f"{free_mb} MB free",
        f"{NEEDED_MEMORY_MB} MB are needed: end other programs",
    )


def cores_check(cores: int) -> Check:
    """Check the number of processor cores."""
    return Check("cores", cores >= 2, str(cores), "two are needed, or the stack is too slow")


def home_check(home: Path, *, writable: bool) -> Check:
    """Check AIMAAS_HOME, the folder of all files."""
    return Check("home", writable, str(home), "it is not writable: set AIMAAS_HOME to a folder that you can write to")


def jars_check(folder: Path, *, fetched: bool) -> Check:
    """Check whether the jars are those in ivy.xml."""
    found = f"{folder}" if fetched else f"missing or in other versions in {folder}"
    return Check("jars", fetched, found, "run `make setup`")


def fleets_check(folder: Path, count: int) -> Check:
    """Check the number of fleet files in their folder."""
    advice = "run this in the project's folder, or set AIMAAS_FLEETS"
    return Check("fleets", count > 0, f"{count} fleet files in {folder}", advice)


def ports_check(*, can_listen: bool) -> Check:
    """Check whether a server may listen on the loopback address."""
    found = "free ports on the loopback address" if can_listen else "no port can be opened"
    return Check("ports", can_listen, found, f"a server must be able to listen on {ports.HOST}: check the firewall")


def broker_check(bootstrap_servers: str, *, reachable: bool) -> Check:
    """Check the Kafka in the settings. At the default address, a missing broker is not an error."""
    if reachable:
        return Check("kafka", True, f"answers at {bootstrap_servers}", "")
    if bootstrap_servers == LOCAL_BROKER:
        return Check("kafka", True, f"none at {LOCAL_BROKER} (`aimaas up` and `aimaas demo` start one)", "")
    advice = "check AIMAAS_KAFKA_BOOTSTRAP_SERVERS and the cluster"
    return Check("kafka", False, f"no answer from {bootstrap_servers}", advice)


def mlflow_check(tracking_uri: str, *, reachable: bool) -> Check:
    """Check the MLflow in the settings. A missing database file is created at the first use."""
    found = "answers at" if reachable else "no answer from"
    return Check("mlflow", reachable, f"{found} {tracking_uri}", "check AIMAAS_MLFLOW_TRACKING_URI and the server")


def _existing(folder: Path) -> Path:
    """Return the folder itself, or the nearest existing folder above it."""
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
        return True  # a database: MLflow opens it at the first use
    return ports.answers(address.hostname, address.port or (443 if address.scheme == "https" else 80), timeout_s=3)
