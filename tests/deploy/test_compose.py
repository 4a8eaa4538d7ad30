"""docker-compose.yml as a real Compose parser understands it, against what the project has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from aimaas.settings import read_settings
from deploy.make_secrets import make_secrets
from local.compose_fleets import compose_files
from tests.deploy.conftest import COMPOSE_FILES

PROJECT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = "".join((PROJECT / file).read_text() for file in (*COMPOSE_FILES, "docker-compose.pages.yml"))
EXAMPLE = dict(
    line.split("=", 1) for line in (PROJECT / ".env.example").read_text().splitlines() if re.match(r"[A-Z_]+=", line)
)
THIRD_PARTY = (
    "AIRFLOW",
    "HOME",
    "KAFKA_",
    "SPARK_LOCAL_DIRS",
    "POSTGRES_",
    "CLUSTER_ID",
    "GX_ANALYTICS_ENABLED",
    "MLFLOW_DISABLE_TELEMETRY",
    "GF_",
)


def words(command: str | list[str]) -> list[str]:
    return command.split() if isinstance(command, str) else list(command)


def texts(service: dict[str, Any]) -> list[str]:
    """Every value of a service that may name a host and a port."""
    health = service.get("healthcheck", {}).get("test", [])
    # a link for the browser of a person names the port on the host
    inside = [v for k, v in service.get("environment", {}).items() if k != "AIMAAS_DATA_DOCS_URL"]
    return [*inside, *words(service.get("command", [])), *health]


# what each service listens on inside its container
SERVED = {path.stem for path in (PROJECT / "fleets").glob("*.yaml")}
LISTENS = {
    "kafka": {9092, 9093, 9094},
    "postgres": {5432},
    "mlflow": {5000},
    "data-docs": {8090},
    "airflow-api-server": {8080},
    "spark-master": {7077, 8080},
    "spark-worker": {8081},
    "prometheus": {9090},
    "grafana": {3000},
    **{f"scorer-{n}-{fleet}": {9100} for fleet in SERVED for n in (0, 1)},
    **{f"http-{fleet}": {8000, 9100} for fleet in SERVED},
}
OUTSIDE = {"kafka_devices_password", "kafka_readers_password"}
PORT_OPTIONS = ("--port", "--webui-port", "--metrics-port", "--health-port")


def test_every_port_that_is_named_is_one_its_service_listens_on(compose: dict[str, Any]) -> None:
    services = compose["services"]
    address = re.compile(rf"\b({'|'.join(services)}|localhost):(\d+)")
    for name, service in services.items():
        for host, port in (hit for text in texts(service) for hit in address.findall(text)):
            assert int(port) in LISTENS[name if host == "localhost" else host], f"{name}: {host}:{port}"
        for published in service.get("ports", []):
            inside = published["target"] if isinstance(published, dict) else re.split(r"[:/]", published)[2]
            assert int(inside) in LISTENS[name], f"{name}: {published}"


def test_services_listen_where_their_commands_say(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        command = words(service.get("command", []))
        said = {int(command[i + 1]) for i, word in enumerate(command) if word in PORT_OPTIONS}
        assert said <= LISTENS.get(name, set()), name


def test_the_example_and_the_file_name_the_same_variables() -> None:
    assert {"COMPOSE_FILE", *re.findall(r"\$\{([A-Z_]+)", COMPOSE_FILE)} == set(EXAMPLE)
    assert EXAMPLE["COMPOSE_FILE"].split(":") == list(COMPOSE_FILES)


def test_what_has_no_default_is_asked_for(
    parse_compose: Callable[[dict[str, str]], subprocess.CompletedProcess[str]],
) -> None:
    for name in [name for name, value in EXAMPLE.items() if not value]:
        done = parse_compose({k: v or "given" for k, v in EXAMPLE.items() if k != name})
        assert done.returncode != 0, f"{name} is not asked for"
        assert ".env.example" in done.stderr


def test_secrets_are_files_that_are_made_and_none_stands_in_a_container_s_description(
    compose: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)  # as a person may have made it
    make_secrets(tmp_path / "secrets")
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert set(compose["secrets"]) == made.keys() - OUTSIDE, "which people are given"
    for name, service in compose["services"].items():
        for secret in service.get("secrets", []):
            target = secret.get("target", secret["source"])
            assert target not in service.get("environment", {}), name
        secretive = [v for v in service.get("environment", {}) if re.search("PASSWORD$|SECRET|KEY$|TOKEN", v)]
        assert secretive == [], f"{name}: {secretive}"
    assert make_secrets(tmp_path / "secrets") == []
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made


def test_every_secret_of_ours_is_a_variable_that_is_read(compose: dict[str, Any]) -> None:
    plain = read_settings({"AIMAAS_HOME": "/nowhere"})
    for name, service in compose["services"].items():
        for target in (secret.get("target", "") for secret in service.get("secrets", [])):
            if target.startswith("AIMAAS_"):
                assert read_settings({"AIMAAS_HOME": "/nowhere", target: "given"}) != plain, f"{name}: {target}"


def test_every_fleet_file_is_served_and_the_written_files_are_those_of_the_fleet_files(compose: dict[str, Any]) -> None:
    for path, text in compose_files(PROJECT, SERVED).items():
        assert (PROJECT / path).read_text() == text, f"{path}: run `aimaas fleets compose --write`"
    for fleet in SERVED:
        assert {f"{part}-{fleet}" for part in ("topics", "announcer", "scorer-0", "scorer-1", "http")} <= set(
            compose["services"]
        )


def test_no_service_may_write_outside_of_its_volumes_gain_rights_or_fill_memory_and_disk(
    compose: dict[str, Any],
) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", [])) <= {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert {"max-size", "max-file"} <= service["logging"]["options"].keys(), name


def test_what_has_no_login_is_reached_from_this_machine_at_most(compose: dict[str, Any]) -> None:
    opened = {name for name, service in compose["services"].items() if service.get("ports")}
    assert opened.isdisjoint({"mlflow", "spark-master", "spark-worker", "postgres"})
    for name in ("data-docs", "prometheus"):
        assert re.search(rf"(?m)^  {name}:\n(?:    .*\n)*?    ports:\n      - \"127\.0\.0\.1:", COMPOSE_FILE), name
    protocols = compose["services"]["kafka"]["environment"]["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"]
    assert {"INTERNAL:SASL_PLAINTEXT", "EXTERNAL:SASL_PLAINTEXT"} <= set(protocols.split(","))
    assert "CONTROLLER://localhost:" in compose["services"]["kafka"]["environment"]["KAFKA_LISTENERS"]


def test_every_image_that_is_not_ours_is_pinned_by_its_version_and_digest(compose: dict[str, Any]) -> None:
    dockerfile = (PROJECT / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"(?m)^FROM (.+)$", dockerfile) == ["${PYTHON_IMAGE}"]
    named = [s["image"] for s in compose["services"].values() if s["image"] != "aimaas"]
    named += re.findall(r"(?m)^ARG PYTHON_IMAGE=(.+)$", dockerfile)
    assert len(named) == 5
    for image in named:
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+[\w.-]*@sha256:[0-9a-f]{64}", image), image


def test_the_broker_denies_what_no_acl_allows_and_only_our_services_are_above_it(compose: dict[str, Any]) -> None:
    broker = compose["services"]["kafka"]["environment"]
    assert broker["KAFKA_AUTHORIZER_CLASS_NAME"] == "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
    assert "KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND" not in broker
    assert set(broker["KAFKA_SUPER_USERS"].split(";")) == {"User:aimaas", "User:ANONYMOUS"}
    # whoever comes without a login is above the ACLs: none but the controller, whose port is the container's own
    open_to_all = re.findall(r"(\w+):PLAINTEXT", broker["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"])
    assert open_to_all == ["CONTROLLER"]
    assert "CONTROLLER://localhost:" in broker["KAFKA_LISTENERS"]


def test_every_variable_of_ours_changes_the_settings(compose: dict[str, Any]) -> None:
    plain = read_settings({"AIMAAS_HOME": "/nowhere"})
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            if variable.startswith("AIMAAS_"):
                given = read_settings({"AIMAAS_HOME": "/nowhere", variable: value})
                assert given != plain, f"{name}: {variable} is read by nobody"
            else:
                assert variable.startswith(THIRD_PARTY), f"{name}: {variable}"


def test_every_airflow_setting_is_one_that_airflow_knows(compose: dict[str, Any]) -> None:
    airflow = find_spec("airflow")
    assert airflow and airflow.origin
    known = yaml.safe_load((Path(airflow.origin).parent / "config_templates" / "config.yml").read_text())
    for service in compose["services"].values():
        for variable in service.get("environment", {}):
            if variable.startswith("AIRFLOW__"):
                _, section, key = variable.lower().split("__")
                assert key in known[section]["options"], variable


def checked(service: dict[str, Any]) -> list[str]:
    """The command of a service's health check, without what gives it the secrets."""
    command: list[str] = service.get("healthcheck", {}).get("test", [""])[1:]
    return command[1:] if command[:1] == ["with-secrets"] else command


def test_airflow_programs_take_their_arguments(compose: dict[str, Any], tmp_path: Path) -> None:
    commands = [
        command[1:]
        for service in compose["services"].values()
        for command in (words(service.get("command", [])), checked(service))
        if command and command[0] == "airflow"
    ]
    # in a process of its own: reading Airflow's commands sets up Airflow
    program = "import json, sys; from airflow.cli.cli_parser import get_parser as p; " + (
        "[p().parse_args(c) for c in json.loads(sys.argv[1])]"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        env={"PATH": "/usr/bin:/bin", "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(commands) == 7


def test_every_file_that_is_named_is_in_the_project(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        for source in bound_folders(service):
            assert source.exists(), f"{name}: {source}"
        for inside in re.findall(r"(?:/opt/aimaas/|\b(?=deploy/))([\w./-]+)", json.dumps(service)):
            assert (PROJECT / inside).exists(), f"{name}: {inside}"


def bound_folders(service: dict[str, Any]) -> list[Path]:
    found = []
    for volume in service.get("volumes", []):
        if ":" not in volume and not isinstance(volume, dict):  # a volume of the container's own
            continue
        source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
        if "/" in source:
            found.append(Path(source))
    return found


def test_the_image_copies_only_what_the_project_has_and_docker_may_see() -> None:
    visible = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    dockerfile = (PROJECT / "deploy" / "Dockerfile").read_text()
    sources = [s for line in re.findall(r"^COPY (.+)$", dockerfile, re.M) for s in line.split()[:-1]]
    assert sources
    for source in sources:
        assert (PROJECT / source).exists(), source
        assert source.split("/")[0] in visible, source


def test_every_package_of_the_project_is_in_the_image() -> None:
    import tomllib

    found = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    dockerfile = (PROJECT / "deploy" / "Dockerfile").read_text()
    tops = {pattern.removesuffix("*") for pattern in found["include"]} - {"fleet_dags"} | {"dags"}
    assert "aimaas" in tops
    for top in tops:
        assert f"COPY {top} {top}\n" in dockerfile, top


def test_every_service_that_stays_has_a_health_check_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if service.get("restart") == "no":
            continue
        assert service["restart"] == "unless-stopped", name
        assert service.get("healthcheck"), name
