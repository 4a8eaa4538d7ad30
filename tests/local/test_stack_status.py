"""What `aimaas up` and `aimaas status` show, on small programs in the places of the real ones."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from aimaas.errors import StackError
from aimaas.settings import Settings
from cli.app import app
from cli.stack.parts import duration
from local.stack import stop_stack
from local.supervision.processes import start_program
from local.supervision.programs import Program, write_plan
from local.supervision.supervisor import folder_of, start_supervisor
from tests.conftest import FLEETS
from tests.local.supervision.test_supervisor import SLEEPS, awaited, state

SECRET = "s3cret-of-airflow"


@pytest.fixture
def stack(offline_settings: Settings) -> Iterator[Settings]:
    airflow = offline_settings.home / "airflow"
    airflow.mkdir(parents=True)
    (airflow / "port").write_text("1")
    (airflow / "passwords.json").write_text(json.dumps({"admin": SECRET}))
    yield offline_settings
    stop_stack(offline_settings)


def run(settings: Settings, *arguments: str, **environ: str) -> Result:
    surroundings = {"AIMAAS_HOME": str(settings.home), "AIMAAS_FLEETS": str(FLEETS), "COLUMNS": "200", **environ}
    return CliRunner().invoke(app, arguments, env=surroundings)


def scheduler(settings: Settings, text: str = SLEEPS) -> Program:
    return Program("scheduler", settings.home / "airflow", (sys.executable, "-c", text))


def start(settings: Settings, *programs: Program) -> None:
    write_plan(folder_of(settings.home), programs)
    start_supervisor(settings.home)
    awaited(lambda: state(settings, programs[-1].name))


def test_status_is_zero_while_all_is_up_and_shows_the_password_only_if_asked_to(stack: Settings) -> None:
    start(stack, scheduler(stack))
    awaited(lambda: (s := state(stack, "scheduler")) and s.runs)

    plain, asked = run(stack, "status"), run(stack, "status", "--show-secrets")

    assert (plain.exit_code, asked.exit_code) == (0, 0)
    assert SECRET not in plain.output
    assert f"login admin, password {SECRET}" in asked.output


def test_status_says_of_what_ends_again_and_again_why_and_when_it_is_next_started_and_fails(stack: Settings) -> None:
    start(stack, scheduler(stack, "import sys; sys.exit('error: no more disk')"))
    awaited(lambda: (s := state(stack, "scheduler")) and s.failures >= 4)

    said = run(stack, "status")

    assert said.exit_code == 1
    (line,) = (line for line in said.output.splitlines() if line.startswith("scheduler: restarting"))
    assert "next start in " in line
    assert line.endswith(f"; error: no more disk; log: {stack.home / 'airflow' / 'scheduler.log'}")


def test_a_part_that_does_not_answer_at_its_port_is_not_up(stack: Settings, free_port: int) -> None:
    deaf = Program("mlflow", stack.home / "mlflow", (sys.executable, "-c", SLEEPS), port=free_port)
    start(stack, deaf)
    awaited(lambda: (s := state(stack, "mlflow")) and s.runs)

    said = run(stack, "status")

    assert said.exit_code == 1
    assert "mlflow: starting" in said.output


def test_an_mlflow_that_runs_elsewhere_is_shown_with_whether_it_answers(stack: Settings) -> None:
    start(stack, scheduler(stack))
    awaited(lambda: (s := state(stack, "scheduler")) and s.runs)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        uri = f"http://me:s3cret@127.0.0.1:{listening.getsockname()[1]}"
        up = run(stack, "status", AIMAAS_MLFLOW_TRACKING_URI=uri)
    down = run(stack, "status", AIMAAS_MLFLOW_TRACKING_URI=uri)

    assert (up.exit_code, down.exit_code) == (0, 1)
    assert "not started by this stack" in up.output
    assert "s3cret" not in up.output + down.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--kafka-port", "99999"), "--kafka-port is 99999: use a port from 1 to 65535"),
        (("--mlflow-port", "0"), "--mlflow-port is 0: use a port from 1 to 65535"),
        (("--airflow-port", "-1"), "--airflow-port is -1: use a port from 1 to 65535"),
    ],
)
def test_up_says_of_what_is_no_port_one_line_and_starts_nothing(
    offline_settings: Settings, arguments: tuple[str, ...], said: str
) -> None:
    result = run(offline_settings, "up", *arguments)

    assert isinstance(result.exception, StackError)
    assert str(result.exception) == said
    assert not folder_of(offline_settings.home).exists()


def test_up_takes_no_port_for_an_mlflow_that_runs_elsewhere(offline_settings: Settings, free_port: int) -> None:
    elsewhere = "http://me:s3cret@mlflow.plant:5000"
    result = run(
        offline_settings, "up", "--mlflow-port", str(free_port), AIMAAS_MLFLOW_TRACKING_URI=elsewhere
    )  # fmt: skip

    assert isinstance(result.exception, StackError)
    assert str(result.exception) == (
        "MLflow runs at http://mlflow.plant:5000 (AIMAAS_MLFLOW_TRACKING_URI): leave out --mlflow-port"
    )


def test_down_says_what_it_stopped_and_that_nothing_runs(stack: Settings) -> None:
    assert run(stack, "down").output.strip() == "nothing was running"
    start_program(Program("score-mill-0", stack.home / "scorers", (sys.executable, "-c", SLEEPS)))
    assert run(stack, "down").output.strip() == "stopped: score-mill-0"
    assert run(stack, "status").exit_code == 1


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (7_300, "2 h"), (200_000, "2 d")]
)
def test_how_long_something_lasts_is_said_in_the_largest_unit_that_fits(seconds: float, shown: str) -> None:
    assert duration(1000.0, 1000.0 + seconds) == shown
    assert duration(None, seconds) == ""
