"""The contenders' rounds: each has new topics and a new group, its programs, and a way to count the outputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aimaas.topics import topic_names
from stream_bench.account import Accountant, account_answers, account_copies, account_predictions
from stream_bench.champion import Champion
from stream_bench.contenders import Contender, running
from stream_bench.stage import Stage

_PROGRAMS = Path(__file__).parent / "programs"
AS_A_USER = ("-m", "cli")


@dataclass(frozen=True)
class Entry:
    """One contender in one round: it reads `source` as consumer group `group` and writes to `target`."""

    name: str
    folder: Path
    source: str
    target: str
    group: str
    command: Sequence[str]
    account: Accountant
    environ: Mapping[str, str] = field(default_factory=dict)

    def start(self, instance: str = "0") -> AbstractContextManager[Contender]:
        """Start one process of the contender."""
        command = [*self.command, "--instance", instance]
        return running(f"{self.name}-{instance}", command, self.folder, dict(self.environ))


@contextmanager
def scorer(
    stage: Stage, tag: str, events: str | None = None, launcher: Sequence[str] = AS_A_USER, options: Sequence[str] = ()
) -> Iterator[Entry]:
    """Return the full scorer as a user starts it, on the topic `events`, or on a new topic for this round.

    `launcher` runs the same command line in another way.
    """
    names = {kind: f"bench.{tag}.{kind}" for kind in ("events", "predictions", "state")}
    fleet = stage.fleet(**names | ({"events": events} if events else {}))
    of, folder, group = topic_names(fleet), stage.write_fleet(fleet, tag), f"aimaas-{fleet.fleet}"
    fresh = [of.predictions, of.state, *([] if events else [of.events, of.dead_letters])]
    environ = {
        "AIMAAS_HOME": str(stage.settings.home),
        "AIMAAS_FLEETS": str(folder),
        "AIMAAS_KAFKA_BOOTSTRAP_SERVERS": stage.settings.bootstrap_servers,
    }
    command = [sys.executable, *launcher, "score", "--fleet", fleet.fleet, *options]
    with stage.topics_of(fleet, fresh), stage.group(group):
        yield Entry("scorer", folder, of.events, of.predictions, group, command, account_predictions, environ)


@contextmanager
def hand(stage: Stage, tag: str, features: str, champion: Champion) -> Iterator[Entry]:
    """Return the hand-written loop on the topic `features`."""
    options = ["--model", str(champion.path)]
    with _plain(stage, tag, "hand", features, account_answers, options) as entry:
        yield entry


@contextmanager
def raw(stage: Stage, tag: str, events: str) -> Iterator[Entry]:
    """Return the bare copy of the topic `events`."""
    with _plain(stage, tag, "raw", events, account_copies, []) as entry:
        yield entry


@contextmanager
def _plain(
    stage: Stage, tag: str, name: str, source: str, account: Accountant, options: Sequence[str]
) -> Iterator[Entry]:
    target = group = f"bench.{tag}.{name}"
    folder = stage.folder / f"{tag}-{name}"
    folder.mkdir()
    clients = {"bootstrap": stage.settings.bootstrap_servers, "source": source, "target": target, "group": group}
    given = [part for key, value in clients.items() for part in (f"--{key}", value)]
    command = [sys.executable, str(_PROGRAMS / f"{name}.py"), *given, *options]
    with stage.topics(target), stage.group(group):
        yield Entry(name, folder, source, target, group, command, account)
