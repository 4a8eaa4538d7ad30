from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aimaas.errors import StackError
from local.compose_fleets import compose_files, write_compose_files

PROJECT = Path(__file__).resolve().parents[2]


def test_each_fleet_has_its_containers_and_prometheus_scrapes_them() -> None:
    files = compose_files(PROJECT, ["pump", "fan_2"], scorers=3)
    services = yaml.safe_load(files["docker-compose.fleets.yml"])["services"]
    for fleet in ("pump", "fan_2"):
        scorers = {f"scorer-{n}-{fleet}" for n in range(3)}
        assert {name for name in services if name.endswith(f"-{fleet}")} == scorers | {
            f"topics-{fleet}", f"announcer-{fleet}", f"http-{fleet}",
        }  # fmt: skip
        assert all(services[name]["command"][3] == fleet for name in scorers)
    assert services["http-pump"]["ports"] == ["${BIND_ADDRESS:-127.0.0.1}:${HTTP_PORT_PUMP:-8001}:8000"]
    targets = [
        target for group in yaml.safe_load(files["deploy/prometheus/targets.yml"]) for target in group["targets"]
    ]
    assert set(targets) == {f"{name}:9100" for name in services if name.startswith(("scorer", "http"))}


def test_files_are_written_where_they_differ_and_in_the_project_alone(tmp_path: Path) -> None:
    for template in ("deploy/fleets.compose.yml.jinja", "deploy/prometheus/targets.yml.jinja"):
        (tmp_path / template).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / template).write_text((PROJECT / template).read_text())
    assert len(write_compose_files(tmp_path, ["pump"])) == 2
    assert write_compose_files(tmp_path, ["pump"]) == []
    assert len(write_compose_files(tmp_path, ["pump", "fan"])) == 2
    with pytest.raises(StackError, match="run this in the project's folder"):
        compose_files(tmp_path / "deploy", ["pump"])
