import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import aimaas.settings
from aimaas.errors import SettingsError
from aimaas.kafka import admin
from aimaas.settings import STACK_FILE, read_settings
from cli.app import app
from tests.conftest import FLEETS


def test_everything_lies_below_home_by_default(tmp_path: Path) -> None:
    found = read_settings({"AIMAAS_HOME": str(tmp_path)})
    assert found.home == tmp_path
    assert found.lake == str(tmp_path / "lake")
    assert found.mlflow_tracking_uri == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert found.data_docs == tmp_path / "data_docs"


def test_kafka_settings_pass_through(tmp_path: Path) -> None:
    given = {"AIMAAS_HOME": str(tmp_path), "AIMAAS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}
    assert dict(read_settings(given).kafka) == {"bootstrap.servers": "localhost:9092", "security.protocol": "SASL_SSL"}


def test_the_running_stack_is_found_and_the_environment_wins(tmp_path: Path) -> None:
    (tmp_path / STACK_FILE).write_text(
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS=localhost:19092\nAIMAAS_SPARK_MASTER=spark://a:7077\n"
    )
    found = read_settings({"AIMAAS_HOME": str(tmp_path), "AIMAAS_SPARK_MASTER": "local[1]"})
    assert found.bootstrap_servers == "localhost:19092"
    assert found.spark_master == "local[1]"


def test_a_value_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AIMAAS_LOG_FORMAT is 'xml': use 'console' or 'json'"):
        read_settings({"AIMAAS_HOME": str(tmp_path), "AIMAAS_LOG_FORMAT": "xml"})


def test_an_api_key_is_read_but_never_shown(tmp_path: Path) -> None:
    found = read_settings({"AIMAAS_HOME": str(tmp_path), "AIMAAS_API_KEY": "s3cret", "AIMAAS_REPLAY_KEY": "s3cret"})
    assert found.api_key == "s3cret"
    assert "s3cret" not in repr(found)
    assert read_settings({"AIMAAS_HOME": str(tmp_path), "AIMAAS_API_KEY": ""}).api_key is None


COMMANDS = [
    ["score"],
    ["serve", "--port", "0"],
    ["dlq", "list"],
    ["dlq", "replay", "--all"],
    ["topics", "create"],
    ["topics", "grow", "--partitions", "9"],
]


def test_a_sasl_mechanism_that_the_client_lacks_is_named(tmp_path: Path) -> None:
    given = {
        "AIMAAS_HOME": str(tmp_path),
        "AIMAAS_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "AIMAAS_KAFKA_SASL_MECHANISM": "X",
    }

    with pytest.raises(SettingsError, match=r"^AIMAAS_KAFKA_SASL_MECHANISM: .*mechanism"):
        admin(read_settings(given))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AIMAAS_KAFKA_SECURITY_PROTOCOL", "SASL_SLL", "use PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"),
        ("AIMAAS_KAFKA_SOCKET_TIMEOUT_MS", "soon", "CONFIGURATION.md"),
    ],
)
def test_a_kafka_setting_that_cannot_be_used_is_named_by_each_command(
    tmp_path: Path, command: list[str], variable: str, value: str, says: str
) -> None:
    surroundings = {"AIMAAS_HOME": str(tmp_path), "AIMAAS_FLEETS": str(FLEETS), variable: value}

    result = CliRunner().invoke(app, [*command, "--fleet", "mill"], env=surroundings)

    assert isinstance(result.exception, SettingsError), result.exception
    assert str(result.exception).startswith(f"{variable}: ")
    assert says in str(result.exception)


def test_the_page_of_settings_has_every_variable() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "settings.md").read_text()
    known = set(re.findall(r"(?m)^\| (AIMAAS_\S+) \|", str(aimaas.settings.__doc__)))
    assert known <= set(re.findall(r"(?m)^\| `(AIMAAS_[^`]+)` \|", page))
