"""What is done to a line under load: scorers killed, frozen, joining and leaving, the broker killed; each awaited by its effects.

A scorer that ends although nobody killed it is started again, as a supervisor would do, and noted in `exits`.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from aimaas.kafka import create_topics, delete_topics
from aimaas.kafka.topic_ids import topic_ids
from aimaas.topics import topic_specs
from local.broker import Broker, start_broker
from tests.chaos.watch import Watch
from tests.stream.conftest import PARTITIONS, Line

LIMIT_S = 90.0  # for any one effect
SESSION_MS = 6_000  # the shortest that a broker allows unless it is told otherwise
_LOOK_S = 0.05
# few snapshots, so that much is read again
_OPTIONS = {"session_timeout_ms": SESSION_MS, "transaction_timeout_ms": 10_000, "state_share": 0.1}


class Driver:
    """Disturbs the scorers of `line` and its `broker`; `say` is told of each thing done."""

    def __init__(self, line: Line, broker: Broker, say: Callable[[str], None], seed: int = 1) -> None:
        self._line, self._broker, self.say = line, broker, say
        self._rng, self._watch = random.Random(seed), Watch(line)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._log_begins: dict[str, int] = {}
        self._zombies: dict[int, subprocess.Popen[bytes]] = {}  # by process id
        self.kills: Counter[str] = Counter()  # by point, or "at random"
        self.broker_kills = self.thaws = 0
        self.exits: list[str] = []  # what scorers said last that ended by themselves

    def join(self, instance: str) -> None:
        """Have a scorer of this name, and wait until it has partitions."""
        if instance not in self._running:
            self._start(instance)
        self._until(lambda: self._owned(instance) > 0, f"scorer {instance} to get partitions")
        self.say(f"scorer {instance} joined")

    def leave(self, instance: str) -> None:
        """Ask a scorer to end (SIGTERM), and see it end; nothing where none of this name runs."""
        if instance not in self._running:
            return
        process = self._running[instance]
        process.send_signal(signal.SIGTERM)
        if process.wait(LIMIT_S) == 0:
            self.say(f"scorer {instance} left")
        else:
            self._note_exit(instance)
        del self._running[instance]

    def kill_at_random(self, instance: str = "0") -> None:
        """SIGKILL while it scores, at any moment."""
        if instance not in self._running:
            self._start(instance)
        self._until(lambda: self._owned(instance) > 0, f"scorer {instance} to get partitions")
        self.await_predictions()
        time.sleep(self._rng.uniform(0, 0.5))  # the moment is to be any
        self._running[instance].kill()
        self._note_kill(instance, "at random")

    def kill_at(self, point: str, passing: int = 1, instance: str = "0") -> None:
        """A scorer that kills itself (SIGKILL) when it passes a point for the `passing`-th time; see `kill_points`."""
        self.leave(instance)
        self._start(instance, point=point, passing=passing)
        self._note_kill(instance, point)

    def kill_at_rebalance(self, point: str, instance: str = "0", joining: str = "1") -> None:
        """The same with a point that is passed when another scorer joins the group."""
        self.leave(instance)
        self.leave(joining)
        self._start(instance, point=point)
        self._until(lambda: self._owned(instance) == PARTITIONS, f"scorer {instance} to get all partitions")
        self._start(joining)
        self._note_kill(instance, point)

    def kill_broker(self) -> None:
        """SIGKILL the broker while predictions flow, start it on its data, and wait until they flow again."""
        self.await_predictions()
        time.sleep(self._rng.uniform(0, 0.3))  # the moment is to be any
        self._broker.process.kill()
        self._broker.process = start_broker(self._broker.folder, self._broker.jars).process
        self.broker_kills += 1
        self.say("broker killed and started again")
        self.await_predictions()

    def freeze(self, point: str, passing: int, heir: str, instance: str = "0") -> None:
        """A scorer is frozen (SIGSTOP) at a point for longer than its session, until `heir` has its partitions, and thawed.

        `heir` may have its own name: a supervisor took it for dead. It must find that it was put out, and end or begin anew.
        """
        self.leave(instance)
        self.leave(heir)
        zombie = self._start(instance, point=point, passing=passing, signal="SIGSTOP")
        self._until(
            lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_STOPPED, f"scorer {instance} to freeze"
        )
        frozen_at, said_before = time.monotonic(), len(self._line.log_of(instance))
        self._start(heir)
        self._until(lambda: self._owned(heir) == PARTITIONS, f"scorer {heir} to inherit the partitions")
        self._until(lambda: time.monotonic() - frozen_at > SESSION_MS / 1e3, "the session to run out")
        self.await_predictions()
        self._zombies[zombie.pid] = zombie
        zombie.send_signal(signal.SIGCONT)
        self._until(lambda: self._is_fenced(zombie, instance, said_before), f"scorer {instance} to find it was put out")
        self.thaws += 1
        self.say(f"scorer {instance} frozen: {point}; thawed and fenced after {heir} took over")

    def _is_fenced(self, zombie: subprocess.Popen[bytes], instance: str, said_before: int) -> bool:
        """Whether a thawed scorer has ended as one that was put out; or, where its name is its own, has begun anew."""
        if zombie.poll() is None:
            return self._running[instance] is zombie and "partitions lost" in self._line.log_of(instance)[said_before:]
        assert zombie.returncode == 1, f"the thawed scorer ended with {zombie.returncode}: {self._said(instance)}"
        if self._running[instance] is zombie:
            del self._running[instance]
        return True

    def await_predictions(self) -> None:
        """Return when predictions can be read that were made after this was called."""
        now_s = time.time()
        self._until(lambda: self._watch.newest_s(_LOOK_S) > now_s, "new predictions")

    def make_events_anew(self) -> str:
        """Delete the events topic under the scorers and make it anew; the label that it has from now on."""
        line, events = self._line, self._line.names.events
        delete_topics(line.settings, [events])
        create_topics(line.settings, [spec for spec in topic_specs(line.fleet) if spec.name == events])
        label = f"{events}@{topic_ids(line.settings, [events])[events][:8]}"
        self.say(f"the events topic was deleted and created again: {label}")
        return label

    def finish(self) -> None:
        """Leave one scorer that nobody disturbs."""
        for instance in [i for i in self._running if i != "0"]:
            self.leave(instance)
        self.join("0")

    def close(self) -> None:
        """Have the last scorer leave, and the broker left alone."""
        self.leave("0")
        self._watch.close()

    def _start(self, instance: str, **trigger: Any) -> subprocess.Popen[bytes]:
        given = json.dumps({**trigger, "options": _OPTIONS})
        process = self._line.spawn([sys.executable, "-m", "tests.chaos.kill_points", given], instance)
        self._running[instance] = process
        self._log_begins[instance] = len(self._line.log_of(instance))
        return process

    def _said(self, instance: str) -> str:
        """What a scorer has logged since it was started last."""
        return self._line.log_of(instance)[self._log_begins[instance] :]

    def _owned(self, instance: str) -> int:
        """How many partitions it has, by its own word."""
        words = re.findall(r"all=\[([\d, ]*)\]", self._said(instance))
        return len(words[-1].split(",")) if words and words[-1] else 0

    def _note_kill(self, instance: str, how: str) -> None:
        process = self._running[instance]
        self._until(lambda: process.poll() is not None, f"scorer {instance} to be killed: {how}", killed=instance)
        assert process.returncode == -signal.SIGKILL, f"{instance}, not killed: {how}: {self._said(instance)[-2_000:]}"
        del self._running[instance]
        self.kills[how] += 1
        self.say(f"scorer {instance} killed: {how}")

    def _until(self, condition: Callable[[], bool], what: str, killed: str = "") -> None:
        """Wait for a condition, and meanwhile start again who ended by itself (but for `killed`, whose end is wanted)."""
        limit = time.monotonic() + LIMIT_S
        while not condition():
            assert time.monotonic() < limit, f"waited {LIMIT_S:g} s for {what}: {self._stacks()}"
            for instance, process in list(self._running.items()):
                if instance != killed and process.poll() is not None:
                    self._note_exit(instance)
                    self._start(instance)
            time.sleep(_LOOK_S)

    def _note_exit(self, instance: str) -> None:
        said = self._said(instance)
        assert "Traceback" not in said, said[-3_000:]
        last = (said.strip().splitlines() or ["nothing: it was ended while it started"])[-1]
        if self._running[instance].pid not in self._zombies:
            self.exits.append(last)
        self.say(f"scorer {instance} ended by itself: {last}")

    def _stacks(self) -> str:
        """Where the scorers that run are, thread by thread."""
        for process in (*self._running.values(), *self._zombies.values()):
            process.send_signal(signal.SIGUSR1)
        time.sleep(1.0)  # they answer by writing to their logs
        return "\n".join(f"scorer {instance}: …{self._said(instance)[-4_000:]}" for instance in self._running)
