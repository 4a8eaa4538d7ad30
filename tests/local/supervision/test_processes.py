"""Child processes: ended with all they started, found again, never mistaken for a stranger."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from aimaas.errors import StackError
from local.supervision.processes import find_process, start_process

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
PARENT = "import subprocess, time; c = subprocess.Popen(['sleep', '99']); print(c.pid, flush=True); time.sleep(99)"
SPAWNS_SESSION = PARENT.replace("'99'])", "'99'], start_new_session=True)")


def wait_until(condition: Callable[[], object], limit_s: float = 10) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    process = start_process([sys.executable, "-c", DEAF], name="deaf", folder=tmp_path)
    wait_until(lambda: "deaf" in process.tail())

    process.stop(timeout_s=0.3)

    assert not process.is_alive()
    assert process.exit_code() == -9
    assert not process.record.exists()


@pytest.mark.parametrize("program", [PARENT, SPAWNS_SESSION])
def test_what_a_process_started_ends_with_it(tmp_path: Path, program: str) -> None:
    process = start_process([sys.executable, "-c", program], name="parent", folder=tmp_path)
    wait_until(process.tail)
    grandchild = int(process.tail())

    process.kill()

    wait_until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == "zombie")


def test_what_an_ended_process_left_behind_is_ended_too(tmp_path: Path) -> None:
    orphaning = PARENT.replace("time.sleep(99)", "")
    process = start_process([sys.executable, "-c", orphaning], name="orphaning", folder=tmp_path)
    wait_until(lambda: not process.is_alive())
    grandchild = int(process.tail())
    assert psutil.pid_exists(grandchild)

    process.kill()

    wait_until(lambda: not psutil.pid_exists(grandchild) or psutil.Process(grandchild).status() == "zombie")


def test_a_running_process_is_found_by_its_record_and_can_be_stopped(tmp_path: Path) -> None:
    process = start_process(["sleep", "99"], name="sleeper", folder=tmp_path)

    found = find_process("sleeper", tmp_path)

    assert found == process
    found.stop()
    assert not process.is_alive()
    assert find_process("sleeper", tmp_path) is None


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "99"], start_new_session=True) as stranger:
        process = start_process(["true"], name="ours", folder=tmp_path)
        wait_until(lambda: not process.is_alive())
        process.record.write_text(json.dumps({"pid": stranger.pid, "started_at": process.started_at - 1000}))

        assert find_process("ours", tmp_path) is None

        assert stranger.poll() is None
        stranger.kill()


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    process = start_process(["sleep", "99"], name="one", folder=tmp_path)
    with pytest.raises(StackError, match="one is already running"):
        start_process(["sleep", "99"], name="one", folder=tmp_path)
    process.kill()


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no-such-program"):
        start_process(["no-such-program"], name="x", folder=tmp_path)
