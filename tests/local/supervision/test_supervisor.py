"""The real supervisor over small programs: what dies comes back, nothing runs twice, nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from aimaas.settings import Settings
from local.stack import scorer_program, stop_stack
from local.stack_status import Part, stack_parts
from local.supervision.part_states import PartState, read_states
from local.supervision.processes import find_process, start_program
from local.supervision.programs import PART_MARK, Program, read_plan, write_plan
from local.supervision.supervisor import find_supervisor, folder_of, start_supervisor
from local.up import stop_scorers

T = TypeVar("T")

SLEEPS = "import time; time.sleep(999)"
FAILS = "import sys; sys.exit('error: the disk is full')"
WITH_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(999)"], start_new_session=True)
time.sleep(999)
"""
LISTENS = """
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(); time.sleep(999)
"""


def awaited(look: Callable[[], T | None], limit_s: float = 60) -> T:
    deadline = time.monotonic() + limit_s
    while not (found := look()):
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.02)
    return found


@pytest.fixture
def stack(offline_settings: Settings) -> Iterator[Settings]:
    offline_settings.home.mkdir(parents=True)
    yield offline_settings
    stop_stack(offline_settings)


def program(settings: Settings, name: str, text: str, *arguments: str, port: int | None = None) -> Program:
    return Program(name, settings.home / name, (sys.executable, "-c", text, *arguments), port=port)


def plan(settings: Settings, *programs: Program) -> None:
    write_plan(folder_of(settings.home), programs)
    if find_supervisor(settings.home) is None:
        start_supervisor(settings.home)


def pid(settings: Settings, name: str) -> int | None:
    found = find_process(name, settings.home / name)
    return found.pid if found else None


def other_pid(settings: Settings, name: str, before: int) -> int:
    """The pid of another process than before."""
    return awaited(lambda: found if (found := pid(settings, name)) not in (None, before) else None)


def state(settings: Settings, name: str) -> PartState | None:
    return read_states(folder_of(settings.home)).get(name)


def part(settings: Settings, name: str) -> Part:
    return next(p for p in stack_parts(settings) if p.name == name)


def marked(settings: Settings) -> list[psutil.Process]:
    """All living processes that were started for this stack."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(PART_MARK, "")
            if mark.startswith(str(settings.home)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def test_what_is_killed_is_started_again_and_what_it_left_behind_is_ended(stack: Settings) -> None:
    plan(stack, program(stack, "one", WITH_CHILD), program(stack, "other", SLEEPS))
    first = awaited(lambda: pid(stack, "one"))
    other = awaited(lambda: pid(stack, "other"))
    orphan = awaited(lambda: next(iter(psutil.Process(first).children()), None))

    os.kill(first, signal.SIGKILL)

    other_pid(stack, "one", first)
    awaited(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
    told = awaited(lambda: s if (s := state(stack, "one")) and s.restarts == 1 and s.runs else None)
    assert told.last_error == "ended by SIGKILL"
    assert pid(stack, "other") == other, "its neighbour runs on"
    assert (part(stack, "one").state, part(stack, "other").restarts) == ("up", 0)


def test_what_ends_again_and_again_stays_restarting_with_its_last_error_and_growing_pauses(stack: Settings) -> None:
    plan(stack, program(stack, "broken", FAILS))

    awaited(lambda: (s := state(stack, "broken")) and s.failures >= 3)

    shown = part(stack, "broken")
    assert (shown.state, shown.last_error) == ("restarting", "error: the disk is full")
    assert shown.restarts >= 3
    assert shown.since is not None
    waits = awaited(lambda: s if (s := state(stack, "broken")) and s.failures == 4 and not s.runs else None)
    assert waits.next_at is not None
    assert waits.next_at - waits.since == pytest.approx(4.0)
    log = (folder_of(stack.home) / "supervisor.log").read_text()
    assert "part ended" in log
    assert "why=error: the disk is full" in log.replace("'", "")


def test_a_killed_supervisor_is_told_and_the_next_one_takes_over_what_runs_and_doubles_nothing(stack: Settings) -> None:
    programs = [program(stack, "kept", SLEEPS), program(stack, "dies", WITH_CHILD)]
    plan(stack, *programs)
    kept, dies = awaited(lambda: pid(stack, "kept")), awaited(lambda: pid(stack, "dies"))
    awaited(lambda: all((s := state(stack, p.name)) and s.runs for p in programs))
    supervisor = find_supervisor(stack.home)
    assert supervisor is not None

    os.kill(supervisor.pid, signal.SIGKILL)
    awaited(lambda: find_supervisor(stack.home) is None)
    os.kill(dies, signal.SIGKILL)
    awaited(lambda: pid(stack, "dies") is None)
    assert [(p.name, p.state) for p in stack_parts(stack)] == [("supervisor", "dead"), ("kept", "up"), ("dies", "dead")]

    plan(stack, *programs)

    other_pid(stack, "dies", dies)
    assert pid(stack, "kept") == kept
    awaited(lambda: {p.state for p in stack_parts(stack)} == {"up"})
    awaited(lambda: len(marked(stack)) == 4)  # supervisor, kept, dies and its child: once each
    awaited(lambda: part(stack, "dies").restarts == 1)


def test_a_process_that_was_never_recorded_is_ended_before_its_program_starts(stack: Settings) -> None:
    programs = [program(stack, "one", SLEEPS)]
    plan(stack, *programs)
    first = awaited(lambda: pid(stack, "one"))
    supervisor = find_supervisor(stack.home)
    assert supervisor is not None
    supervisor.stop()
    (stack.home / "one" / "one.pid.json").unlink()

    plan(stack, *programs)

    other_pid(stack, "one", first)
    awaited(lambda: len(marked(stack)) == 2)


def test_a_changed_plan_replaces_what_is_changed_starts_what_is_new_and_ends_what_is_gone(
    stack: Settings, free_port: int
) -> None:
    same, gone = program(stack, "same", SLEEPS), program(stack, "gone", SLEEPS)
    plan(stack, same, gone, program(stack, "moved", LISTENS, "1", port=1))
    before = {name: awaited(partial(pid, stack, name)) for name in ("same", "gone")}

    plan(stack, same, program(stack, "new", SLEEPS), program(stack, "moved", LISTENS, str(free_port), port=free_port))

    awaited(lambda: pid(stack, "new"))
    awaited(lambda: part(stack, "moved").state == "up")
    awaited(lambda: pid(stack, "gone") is None)
    assert pid(stack, "same") == before["same"]
    with socket.create_connection(("127.0.0.1", free_port), timeout=5):
        pass


def test_down_leaves_nothing_running_also_where_the_supervisor_was_killed(stack: Settings) -> None:
    plan(stack, program(stack, "one", WITH_CHILD))
    awaited(lambda: len(marked(stack)) == 3)
    supervisor = find_supervisor(stack.home)
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)

    stop_stack(stack)

    assert marked(stack) == []
    assert stack_parts(stack) == []


def test_a_second_supervisor_of_the_same_home_ends_at_once(stack: Settings) -> None:
    plan(stack, program(stack, "one", SLEEPS))
    first = awaited(lambda: pid(stack, "one"))
    record = folder_of(stack.home) / "supervisor.pid.json"
    kept = record.read_text()
    record.unlink()

    second = start_supervisor(stack.home)

    awaited(lambda: not second.is_alive())
    assert "another supervisor runs" in second.tail()
    record.write_text(kept)
    assert pid(stack, "one") == first


def test_a_home_that_is_deleted_ends_all_that_ran_for_it(stack: Settings) -> None:
    plan(stack, program(stack, "one", SLEEPS))
    awaited(lambda: pid(stack, "one"))

    (folder_of(stack.home) / "plan.json").unlink()

    awaited(lambda: marked(stack) == [])


def scorer(settings: Settings, fleet: str, number: int = 0) -> Program:
    return Program(f"score-{fleet}-{number}", settings.home / "scorers", (sys.executable, "-c", SLEEPS))


def test_scorers_of_a_fleet_are_stopped_and_stay_so_while_all_else_runs_on(stack: Settings) -> None:
    programs = [
        scorer(stack, "mill"),
        scorer(stack, "mill", 1),
        scorer(stack, "mill-2"),
        program(stack, "other", SLEEPS),
    ]
    plan(stack, *programs)
    before = {p.name: awaited(partial(find_process, p.name, p.folder)).pid for p in programs}

    assert sorted(stop_scorers(stack, ["mill"])) == ["score-mill-0", "score-mill-1"]

    left = {p.name: found.pid for p in programs if (found := find_process(p.name, p.folder)) is not None}
    assert left == {name: pid for name, pid in before.items() if name in ("score-mill-2-0", "other")}
    assert [p.name for p in read_plan(folder_of(stack.home))] == ["score-mill-2-0", "other"]
    assert stop_scorers(stack, ["mill", "no_such_fleet"]) == []


def test_a_scorer_that_no_supervisor_watches_is_stopped_too(stack: Settings) -> None:
    write_plan(folder_of(stack.home), [scorer(stack, "mill")])
    started = start_program(scorer(stack, "mill"))

    assert stop_scorers(stack, ["mill"]) == ["score-mill-0"]
    assert not started.is_alive()


def test_a_scorer_is_another_program_once_its_fleet_file_has_changed(stack: Settings, tmp_path: Path) -> None:
    settings, file = replace(stack, fleets=tmp_path), tmp_path / "mill.yaml"

    def identity() -> str:
        return scorer_program(settings, "mill", {}).identity

    file.write_text("fleet: mill\n")
    first = identity()
    assert identity() == first
    file.write_text("fleet: mill  # another\n")
    changed = identity()
    file.unlink()
    assert len({first, changed, identity()}) == 3
