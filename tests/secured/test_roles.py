"""Each role does its work under a user of its own that has exactly the rights of the table, on a broker that denies by default."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner

from aimaas.errors import KafkaLastingError
from aimaas.kafka import delete_topics, read_all
from aimaas.kafka.rights import Right, on_topic
from aimaas.kafka.roles import ROLES, rights_of
from aimaas.registry.versions import set_champion
from aimaas.settings import Settings, read_settings
from aimaas.topics import scorer_group, topic_names
from cli.app import app
from stream.scorer.run import score
from tests.conftest import _settings
from tests.secured.secured_broker import SecuredBroker
from tests.stream.conftest import Line, open_line, register_model, tiny_model

pytestmark = pytest.mark.broker
SAID_WITHIN_S = 20.0
LIMIT_S = 180.0


class Fleet:
    """A fleet, and a user for each role; the super user's line looks at what they did."""

    def __init__(self, secured: SecuredBroker, line: Line) -> None:
        self.secured, self.line = secured, line
        for role in ROLES:
            secured.add_user(role)
            secured.grant(role, rights_of(role, line.fleet))

    def variables(self, role: str) -> dict[str, str]:
        settings = self.line.settings
        return {
            "AIMAAS_HOME": str(settings.home),
            "AIMAAS_FLEETS": str(self.line.folder),
            "AIMAAS_JARS": str(settings.jars),
            "AIMAAS_REPLAY_KEY": "5e" * 32,
            **self.secured.variables(role),
        }

    def settings(self, role: str) -> Settings:
        return read_settings(self.variables(role))

    def run(self, role: str, *command: str, codes: tuple[int, ...] = (0,)) -> str:
        """What an `aimaas` command says; raises what it raises."""
        result = CliRunner().invoke(app, [*command, "--fleet", self.line.fleet.fleet], env=self.variables(role))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code in codes, result.output
        return result.output

    @contextmanager
    def without(self, role: str, right: Right) -> Iterator[None]:
        self.secured.revoke(role, right)
        try:
            yield
        finally:
            self.secured.grant(role, [right])

    @contextmanager
    def scorer(self) -> Iterator[list[Exception]]:
        """A scorer in a thread; what it raised is in the list that it yields."""
        stop, raised = threading.Event(), []

        def run() -> None:
            try:
                score(self.settings("scorer"), self.line.fleet, "0", stop=stop)
            except Exception as e:  # noqa: BLE001 - the test looks at it
                raised.append(e)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield raised
        finally:
            stop.set()
            thread.join(LIMIT_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def fleet(secured: SecuredBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("roles")
    settings = replace(_settings(folder / "home", secured.broker.bootstrap_servers), fleets=folder)
    with open_line(settings, folder, "roles") as line:
        yield Fleet(secured, line)


def wait_until(condition: Any) -> None:
    limit = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_the_creator_makes_a_topic_that_is_missing_once_it_may(fleet: Fleet) -> None:
    name = fleet.line.names.alerts
    delete_topics(fleet.line.settings, [name])
    right = on_topic("Create", name)
    with fleet.without("creator", right), pytest.raises(KafkaLastingError, match=f"do not grant creator: {right}"):
        fleet.run("creator", "topics", "create")

    assert f"created  {name}" in fleet.run("creator", "topics", "create")
    assert "created" not in fleet.run("creator", "topics", "create")


def test_the_way_from_devices_to_predictions(fleet: Fleet) -> None:
    line = fleet.line
    version = register_model(line.settings, line.fleet, line.folder / "models", tiny_model(line.fleet))
    set_champion(line.settings, line.fleet, version)
    register_model(line.settings, line.fleet, line.folder / "models", tiny_model(line.fleet, factor=2.0))
    assert "version 1" in fleet.run("announcer", "models", "announce")
    sent = fleet.run("gateway", "devices", "-n", "2")
    events = int(sent.split("sent ")[1].split(" ")[0])
    line.send([(b"nobody", b"no event")])
    with fleet.scorer() as raised:
        line.wait_for(events, 1, LIMIT_S)
    assert raised == []
    fleet.run("gateway", "devices", "-n", "1", "--first", "7")
    with fleet.scorer() as raised:  # started again it restores
        line.wait_for(events + 1, 1, LIMIT_S)
    assert raised == []
    assert len(read_all(fleet.settings("reader"), topic_names(line.fleet).predictions)) > events


def test_the_operator_looks_at_letters_and_refusals(fleet: Fleet) -> None:
    assert "no scorer has refused" in fleet.run("operator", "models", "refused")
    assert "unparsable" in fleet.run("operator", "dlq", "list")


def test_the_replay_of_dead_letters(fleet: Fleet) -> None:
    fleet.run("replay", "dlq", "replay", "--all")


NEEDED = [
    ("topic", "Read", "events"),
    ("topic", "Read", "models"),
    ("topic", "Read", "state"),
    ("topic", "Read", "journal"),
    ("topic", "Write", "predictions"),
    ("topic", "Write", "alerts"),
    ("topic", "Write", "dead_letters"),
    ("topic", "Write", "state"),
    ("topic", "Write", "journal"),
    ("topic", "Write", "model_status"),
    ("group", "Read", ""),
    ("group", "Read", "aimaas-models"),
    ("group", "Read", "aimaas-reader"),
    ("group", "Read", "aimaas-restore"),
    ("transactional-id", "Write", ""),
]


def right_of(fleet: Fleet, kind: Any, operation: str, what: str) -> Right:
    group = scorer_group(fleet.line.fleet)
    name = getattr(fleet.line.names, what) if kind == "topic" else what or group if kind == "group" else f"{group}-"
    return Right(kind, name, operation, prefixed=kind == "transactional-id")


def test_the_cases_are_all_rights_of_a_scorer_but_those_to_look_at_settings(fleet: Fleet) -> None:
    needed = {right for right in rights_of("scorer", fleet.line.fleet) if right.operation != "DescribeConfigs"}
    assert {right_of(fleet, *case) for case in NEEDED} == needed


@pytest.mark.parametrize(("kind", "operation", "what"), NEEDED)
def test_a_scorer_that_lacks_a_right_ends_with_one_line_that_names_it(
    fleet: Fleet, kind: str, operation: str, what: str
) -> None:
    fleet.line.send([(b"nobody", b"no event")])
    right = right_of(fleet, kind, operation, what)
    with fleet.without("scorer", right):
        began = time.monotonic()
        with fleet.scorer() as raised:
            wait_until(lambda: raised)
        # all but one are found before the model is loaded, which takes its time on a busy machine
        assert time.monotonic() - began < (LIMIT_S if kind == "transactional-id" else SAID_WITHIN_S)
    (error,) = raised
    assert isinstance(error, KafkaLastingError), error
    command = right.command("scorer", fleet.settings("scorer").kafka)
    assert f"do not grant scorer: {right}; grant it: `{command}`" in str(error)
    assert "\n" not in str(error)


LACKING = [
    ("creator", "DescribeConfigs", "journal", ("topics", "create")),
    ("gateway", "Write", "outcomes", ("devices", "-n", "1")),
    ("announcer", "Write", "models", ("models", "promote", "2")),
    ("operator", "Read", "dead_letters", ("dlq", "list")),
    ("operator", "Read", "model_status", ("models", "refused")),
]


@pytest.mark.parametrize(("role", "operation", "what", "command"), LACKING)
def test_a_command_that_lacks_a_right_says_which(
    fleet: Fleet, role: str, operation: str, what: str, command: tuple[str, ...]
) -> None:
    right = on_topic(operation, getattr(fleet.line.names, what))
    with fleet.without(role, right), pytest.raises(KafkaLastingError, match=f"do not grant {role}: {right}"):
        fleet.run(role, *command)
