"""Prometheus' and Grafana's files against what the scorers export and what docker-compose.yml runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from stream.monitoring.metrics import ScorerMetrics

PROJECT = Path(__file__).resolve().parents[2]
PROMETHEUS = PROJECT / "deploy" / "prometheus"
GRAFANA = PROJECT / "deploy" / "grafana"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((GRAFANA / "dashboards" / "scorer.json").read_text())
LABELS = {"fleet", "model_version", "reason", "le", "instance", "job"}  # the last two are Prometheus' own


def exported() -> set[str]:
    """Names of all samples that a scorer exports, as queries say them."""
    registry = CollectorRegistry()
    ScorerMetrics("turbofan", registry).model_changed("1", 0.0)
    return {sample.name for family in registry.collect() for sample in family.samples}


def panels() -> Iterator[dict[str, Any]]:
    yield from DASHBOARD["panels"]


def queries() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    variables = [variable["definition"] for variable in DASHBOARD["templating"]["list"]]
    return [*asked, *variables, *(rule["expr"] for rule in ALERTS)]


def test_every_metric_that_a_rule_or_the_dashboard_names_is_one_that_scorers_export() -> None:
    known = exported()
    for query in queries():
        named = set(re.findall(r"\baimaas_\w+", query))
        assert named or "up{" in query, query
        assert named <= known, f"{named - known} in {query}"


def test_every_label_that_a_rule_or_the_dashboard_names_is_one_that_scorers_have() -> None:
    for query in queries():
        grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        selected = {
            label for braces in re.findall(r"\{([^}]*)\}", query) for label in re.findall(r"(\w+)\s*[=!]", braces)
        }
        assert grouped | selected <= LABELS, query


def test_every_metric_of_a_scorer_can_be_seen_on_the_dashboard() -> None:
    shown = " ".join(queries())
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported()}
    assert {name for name in families if name not in shown} == set()


def test_every_metric_of_a_scorer_is_explained() -> None:
    page = (PROJECT / "docs" / "reference" / "metrics.md").read_text()
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported()}
    assert {name for name in families if f"`{name}" not in page} == set()


def test_prometheus_scrapes_every_scorer_where_it_serves_metrics(compose: dict[str, Any]) -> None:
    (job,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (file,) = job["file_sd_configs"][0]["files"]
    scraped: dict[str, set[str]] = {"scorer": set(), "http": set()}
    for group in yaml.safe_load((PROMETHEUS / file).read_text()):
        scraped[group["labels"]["job"]].update(group["targets"])
    serving: dict[str, set[str]] = {"scorer": set(), "http": set()}
    for name, service in compose["services"].items():
        command = service.get("command") or []
        for kind, of in (("scorer", "metrics"), ("http", "health")):
            if f"--{of}-port" in command:
                assert command[command.index(f"--{of}-host") + 1] == "0.0.0.0", name  # noqa: S104 - inside a container
                serving[kind].add(f"{name}:{command[command.index(f'--{of}-port') + 1]}")

    assert scraped == serving
    assert all(serving.values())


def test_prometheus_finds_its_rules_beside_its_configuration(compose: dict[str, Any]) -> None:
    service = compose["services"]["prometheus"]
    files = mounts(service)
    configuration = next(word.split("=")[1] for word in service["command"] if word.startswith("--config.file="))
    folder = files[str(Path(configuration).parent)]
    assert folder == PROMETHEUS
    for name in yaml.safe_load((folder / Path(configuration).name).read_text())["rule_files"]:
        assert (folder / name).is_file(), name


def test_grafana_finds_the_dashboard_and_asks_the_prometheus_that_runs(compose: dict[str, Any]) -> None:
    files = mounts(compose["services"]["grafana"])
    source = yaml.safe_load((files["/etc/grafana/provisioning/datasources"] / "prometheus.yml").read_text())
    provider = yaml.safe_load((files["/etc/grafana/provisioning/dashboards"] / "aimaas.yml").read_text())

    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert files[provider["providers"][0]["options"]["path"]] == GRAFANA / "dashboards"
    uid = source["datasources"][0]["uid"]
    asked = [v["datasource"] for v in DASHBOARD["templating"]["list"]]
    for panel in panels():
        asked += [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert {place["uid"] for place in asked} == {uid}


def test_every_panel_has_a_place_of_its_own_and_says_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        g = panel["gridPos"]
        place = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert not place & taken, panel["title"]
        assert g["x"] + g["w"] <= 24, panel["title"]
        assert panel["title"]
        assert panel["description"], panel["title"]
        taken |= place
    assert len({panel["id"] for panel in panels()}) == len(DASHBOARD["panels"])


def test_every_alert_has_a_section_that_says_what_to_do() -> None:
    sections = re.findall(r"(?m)^### `?(\w+)`?$", (PROJECT / "docs" / "reference" / "alerts.md").read_text())
    assert {rule["alert"] for rule in ALERTS} <= set(sections)


def test_alerts_fire_when_they_should_and_not_before() -> None:
    if not shutil.which("promtool"):
        pytest.skip("no promtool here: `apt-get install prometheus` has it")
    cases = Path(__file__).parent / "alert_cases.yml"
    done = subprocess.run(["promtool", "test", "rules", str(cases)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = subprocess.run(
        ["promtool", "check", "config", str(PROMETHEUS / "prometheus.yml")], capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Folders of the project by where they are in the container."""
    found = {}
    for volume in service["volumes"]:
        source, target = (
            (volume["source"], volume["target"]) if isinstance(volume, dict) else tuple(volume.split(":")[:2])
        )
        if "/" in source:
            found[target] = Path(source)
    return found
