"""`aimaas topics acls --apply` grants a role its rights, and no more, on a broker that denies by default."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, ResourcePatternType, ResourceType
from typer.testing import CliRunner, Result

from aimaas.errors import KafkaLastingError
from aimaas.fleet import load_fleet
from aimaas.kafka import create_topics, delete_topics
from aimaas.kafka.acls import grant
from aimaas.kafka.rights import Right
from aimaas.kafka.roles import rights_of
from aimaas.settings import Settings, read_settings
from aimaas.topics import topic_names, topic_specs
from cli.app import app
from local.broker import Broker
from tests.kafka_tools import run_as_printed
from tests.secured.attempts import refused_read, refused_write
from tests.secured.secured_broker import PASSWORD, SecuredBroker

pytestmark = pytest.mark.broker
MILL = Path(__file__).resolve().parents[2] / "fleets" / "mill.yaml"
# a fleet of its own: other tests of this broker have users of the same names
FLEET = load_fleet(MILL).model_copy(update={"fleet": "granted"})
NAMES = topic_names(FLEET)
LIMIT_S = 30.0
THEIRS = {NAMES.events, NAMES.outcomes}


@pytest.fixture(scope="module")
def topics(secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A fleet's topics; the settings of a super user."""
    home = tmp_path_factory.mktemp("home")
    (home / "granted.yaml").write_text(MILL.read_text().replace("fleet: mill", "fleet: granted"))
    settings = read_settings(
        {"AIMAAS_HOME": str(home), "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": secured.broker.bootstrap_servers}
    )
    create_topics(settings, topic_specs(FLEET))
    yield settings
    delete_topics(settings, [spec.name for spec in topic_specs(FLEET)])


def acls(settings: Settings, variables: dict[str, str], *options: str) -> Result:
    environ = {"AIMAAS_HOME": str(settings.home), "AIMAAS_FLEETS": str(settings.home), **variables}
    return CliRunner().invoke(app, ["topics", "acls", "--fleet", "granted", *options], env=environ)


def by_the_super_user(settings: Settings, *options: str) -> Result:
    return acls(settings, {"AIMAAS_KAFKA_BOOTSTRAP_SERVERS": settings.bootstrap_servers}, *options)


def acls_of(secured: SecuredBroker, user: str) -> set[tuple[str, str]]:
    """The topics and operations that the broker allows the user."""
    asked = AclBindingFilter(
        ResourceType.ANY, None, ResourcePatternType.ANY, f"User:{user}", None, AclOperation.ANY, AclPermissionType.ALLOW
    )
    client = secured.admin
    return {(acl.name, acl.operation.name.replace("_", "")) for acl in client.describe_acls(asked).result(30)}


def has_all(secured: SecuredBroker, user: str, wanted: set[tuple[str, str]]) -> bool:
    return acls_of(secured, user) >= wanted


def wait_until(condition: Callable[[], bool]) -> None:
    """The broker learns of an ACL from the controller."""
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def settings_of(topics: Settings, secured: SecuredBroker, user: str) -> Settings:
    return read_settings({"AIMAAS_HOME": str(topics.home), **secured.variables(user)})


def test_a_gateway_writes_events_and_outcomes_once_it_may_and_nothing_else(
    secured: SecuredBroker, topics: Settings
) -> None:
    secured.add_user("things")
    client = settings_of(topics, secured, "things").kafka
    assert refused_write(client, NAMES.events)

    for _ in range(2):
        done = by_the_super_user(topics, "--role", "gateway", "--user", "things", "--apply")
        assert done.exit_code == 0, done.output
        assert done.output.splitlines() == [f"granted  things  Write on topic {name}" for name in sorted(THEIRS)]

    wait_until(lambda: not any(refused_write(client, name) for name in THEIRS))
    assert acls_of(secured, "things") == {(name, "WRITE") for name in THEIRS}
    for name in {spec.name for spec in topic_specs(FLEET)} - THEIRS:
        assert refused_write(client, name), name
    for name in (NAMES.predictions, NAMES.events):
        assert refused_read(client, name), name


def test_a_reader_reads_predictions_once_it_may_and_nothing_else(secured: SecuredBroker, topics: Settings) -> None:
    secured.add_user("readers")
    client = settings_of(topics, secured, "readers").kafka
    done = by_the_super_user(topics, "--role", "reader", "--user", "readers", "--apply")
    assert done.exit_code == 0, done.output

    wait_until(lambda: not refused_read(client, NAMES.predictions))
    assert refused_read(client, NAMES.events)
    assert refused_write(client, NAMES.predictions)


def test_who_may_not_alter_the_cluster_grants_nothing_and_is_told_so(secured: SecuredBroker, topics: Settings) -> None:
    done = acls(topics, secured.variables("device"), "--role", "gateway", "--user", "others", "--apply")
    error = done.exception
    assert isinstance(error, KafkaLastingError)
    assert "do not grant device: Alter on the cluster; grant it: `kafka-acls" in str(error)
    assert "\n" not in str(error)
    assert acls_of(secured, "others") == set()


def test_without_apply_nothing_is_granted(secured: SecuredBroker, topics: Settings) -> None:
    done = by_the_super_user(topics, "--role", "gateway", "--user", "others")
    assert (
        f"kafka-acls --bootstrap-server {topics.bootstrap_servers} --add --allow-principal User:others" in done.output
    )
    assert acls_of(secured, "others") == set()


def test_a_printed_command_grants_the_right_with_the_login_of_a_file(
    secured: SecuredBroker, topics: Settings, tmp_path: Path
) -> None:
    secured.add_user("root")
    secured.grant("root", [Right("cluster", "kafka-cluster", "Alter")])
    login = f'ScramLoginModule required username="root" password="{PASSWORD}";'
    (tmp_path / "client.properties").write_text(
        "security.protocol=SASL_SSL\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={secured.authority.path}\nsasl.mechanism=SCRAM-SHA-512\n"
        f"sasl.jaas.config=org.apache.kafka.common.security.scram.{login}\n"
    )
    done = acls(topics, secured.variables("root"), "--role", "device", "--user", "by-hand")
    (command,) = (line for line in done.output.splitlines() if line.startswith("kafka-acls"))

    run_as_printed(command, topics.jars, tmp_path)

    wait_until(lambda: acls_of(secured, "by-hand") == {(NAMES.events, "WRITE")})


def test_a_user_that_would_get_the_rights_of_all_roles_is_refused(secured: SecuredBroker, topics: Settings) -> None:
    done = by_the_super_user(topics, "--user", "others", "--apply")
    assert done.exit_code == 2
    assert "--role" in done.output
    assert acls_of(secured, "others") == set()


def test_every_role_is_granted_to_a_user_of_its_name_by_default(secured: SecuredBroker, topics: Settings) -> None:
    done = by_the_super_user(topics, "--apply")
    assert done.exit_code == 0, done.output
    for role in ("scorer", "grow", "reader"):
        wanted = {(right.name, right.operation.upper()) for right in rights_of(role, FLEET)}
        wait_until(partial(has_all, secured, role, wanted))


def test_a_broker_without_an_authorizer_has_no_acls(broker: Broker, settings: Settings) -> None:
    with pytest.raises(KafkaLastingError, match=r"has no ACLs, .*set authorizer\.class\.name") as raised:
        grant(settings, "things", rights_of("gateway", FLEET))
    assert "\n" not in str(raised.value)
