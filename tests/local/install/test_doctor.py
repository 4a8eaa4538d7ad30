"""The judgements on plain values; and once, the whole look at this machine."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aimaas.settings import Settings
from local.install import doctor, preflight
from local.install.java import major_version

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_401"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21" 2023-09-19', 21),
        ("The operation couldn’t be completed. Unable to locate a Java Runtime.", None),
    ],
)
def test_the_version_of_java_is_read_from_its_banner(banner: str, version: int | None) -> None:
    assert major_version(banner) == version


@pytest.mark.parametrize(
    ("check", "says"),
    [
        (preflight.python_check((3, 10)), "python: 3.10; Python 3.11 or 3.12 is needed"),
        (preflight.python_check((3, 13)), "python: 3.13; Python 3.11 or 3.12 is needed"),
        (preflight.venv_check(has_venv=False), "python3-venv"),
        (preflight.java_check(None), "java: none on the PATH; install a JDK"),
        (preflight.java_check(11), "java: version 11; install a JDK or full JRE, version 17"),
        (preflight.disk_check(10 * 1024**2, Path("/x"), 500), "disk: 10 MB free at /x; 500 MB are needed"),
        (doctor.packages_check("4.1.1", "4.1.2"), "make setup"),
        (doctor.memory_check(1024**3), "memory: 1024 MB free"),
        (doctor.cores_check(1), "two are needed"),
        (doctor.home_check(Path("/x"), writable=False), "AIMAAS_HOME"),
        (doctor.jars_check(Path("/x"), fetched=False), "make setup"),
        (doctor.fleets_check(Path("/x"), 0), "AIMAAS_FLEETS"),
        (doctor.ports_check(can_listen=False), "firewall"),
        (doctor.broker_check("kafka.plant:9092", reachable=False), "no answer from kafka.plant:9092"),
        (doctor.mlflow_check("http://x:5000", reachable=False), "AIMAAS_MLFLOW_TRACKING_URI"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(check: preflight.Check, says: str) -> None:
    assert not check.ok
    assert says in str(check)
    assert "\n" not in str(check)


def test_no_broker_at_the_default_address_is_no_fault() -> None:
    assert doctor.broker_check(doctor.LOCAL_BROKER, reachable=False).ok


@pytest.mark.broker
def test_a_machine_that_runs_the_tests_is_found_fit(settings: Settings) -> None:
    found = {check.name: check for check in doctor.examine(settings)}

    assert found["kafka"].found == f"answers at {settings.bootstrap_servers}"
    assert {name for name, check in found.items() if not check.ok} <= {"memory", "fleets"}


def test_a_broker_and_an_mlflow_that_do_not_answer_are_found(offline_settings: Settings) -> None:
    settings = replace(offline_settings, mlflow_tracking_uri="http://127.0.0.1:1")

    missing = {check.name for check in doctor.examine(settings) if not check.ok}

    assert {"kafka", "mlflow"} <= missing


def test_setup_without_java_says_so_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.install.preflight"],
        cwd=PROJECT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.startswith("error: java: none on the PATH")
    assert len(done.stderr.splitlines()) == 1
