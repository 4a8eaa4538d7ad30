"""The demo itself: the steps in their order. Each says what it waits for and how long at most."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import yaml
from rich.console import Console

from aimaas.errors import StackError
from aimaas.events import Announcement, Prediction
from aimaas.fleet import FleetSpec, RemainingUsefulLife
from aimaas.kafka import read_all
from aimaas.lake import read_table
from aimaas.quarantine import EXPECTATION
from aimaas.settings import Settings
from aimaas.topics import topic_names
from local.demo.account import Account, Errors, errors, percentiles, reckon
from local.demo.narrator import Narrator
from local.demo.report import Places, Report, make_report, print_report
from local.demo.tap import Seen, Tap
from local.demo.traffic import DemoPlan, LiveFeed, Sent, live_histories, send_history
from local.demo.watch import Chain
from local.processes import ManagedProcess
from local.stack import Stack, start_scorer, start_stack, stop_stack
from stream.devices.histories import Histories
from stream.devices.simulator import simulate

_YEARLY = "0 0 1 1 *"
_ERRORS = "__connect.errors."

Refused = tuple[int, int, str]  # source partition, source offset, reason


@dataclass
class Demo:
    """What one run of the demo has under its hands."""

    fleet: FleetSpec
    stack: Stack
    narrator: Narrator
    sent: list[Sent] = field(default_factory=list)
    champions: list[Announcement] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Settings under which everything finds the stack."""
        return self.stack.settings

    def send_history(self, histories: Histories, bad_per_reason: int) -> None:
        """Send events and outcomes at full speed, bad records among them."""
        title = f"{len(histories):,} events of {len(histories.devices)} devices to Kafka"
        with self.narrator.stage(f"history_{len(self.sent) + 1}", title, len(histories)) as s:
            sent = send_history(self.settings, self.fleet, histories, bad_per_reason, lambda done, _: s.move(done))
            s.say(f"{sum(sent.refused.values())} bad records among them")
        self.sent.append(sent)

    def train(self, name: str, limit_s: float) -> Announcement:
        """Let the DAGs run from the topic to a new champion."""
        after = self.champions[-1].sequence if self.champions else -1
        with self.narrator.stage(name, f"Airflow: ingest, prepare, train ({name})") as s:
            chain = Chain.begin(self.stack.airflow, self.fleet)
            found = chain.await_champion(self.settings, after, limit_s, s.say)
            s.say(f"version {found.version} is champion")
        self.narrator.seconds |= {f"{name}.{task}": seconds for task, seconds in chain.seconds().items()}
        self.champions.append(found)
        return found


@contextmanager
def running_stack(settings: Settings, fleet: FleetSpec, narrator: Narrator) -> Iterator[Stack]:
    """A stack in a fresh folder, stopped with all its processes whatever happens."""
    stop_stack(settings)  # what an earlier demo that was killed may have left
    shutil.rmtree(settings.home, ignore_errors=True)
    write_fleet(settings, fleet)
    with narrator.stage("start", "start Kafka, Airflow and the registry"):
        stack = start_stack(settings, [fleet])
    try:
        yield stack
    finally:
        with narrator.stage("stop", "stop everything"):
            stack.stop()


def demo_settings(settings: Settings, fleet: FleetSpec, name: str) -> Settings:
    """Settings of a folder of the demo's own below AIMAAS_HOME, so that it disturbs no stack of yours."""
    home = settings.home / "demo" / f"{fleet.fleet}-{name}"
    return replace(
        settings,
        home=home,
        fleets=home / "fleets",
        lake=str(home / "lake"),
        mlflow_tracking_uri=f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        mlflow_artifacts=str(home / "mlflow" / "artifacts"),
        data_docs=home / "data_docs",
        kafka={},
    )


def write_fleet(settings: Settings, fleet: FleetSpec) -> None:
    """Give the demo's Airflow the fleet file, with schedules out of the way: the demo says when a run begins.

    It shows how a second model takes over, and a dozen test devices seldom make one sure: more likely better than not is enough.
    """
    settings.fleets.mkdir(parents=True, exist_ok=True)
    spec = fleet.model_dump(mode="json", exclude_unset=True)
    spec["schedule"] = {**spec.get("schedule", {}), "ingest": _YEARLY, "train": _YEARLY}
    spec["gates"] = {**spec.get("gates", {}), "confidence": 0.5}
    (settings.fleets / f"{fleet.fleet}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))


def run_demo(settings: Settings, fleet: FleetSpec, *, cmapss: Path | None, subset: str, console: Console) -> Report:
    """Run the demo on simulated devices, or with `cmapss` on NASA's files. Raises AimaasError when a stage fails."""
    if cmapss is not None:
        from local.demo.cmapss import run_cmapss

        return run_cmapss(demo_settings(settings, fleet, subset), fleet, cmapss, subset, console)
    return run_simulated(demo_settings(settings, fleet, "simulated"), fleet, console)


def run_simulated(settings: Settings, fleet: FleetSpec, console: Console) -> Report:
    """History, first model, unseen devices, a kill, a second model, the reckoning."""
    began, plan = time.monotonic(), DemoPlan()
    narrator = Narrator(console)
    with running_stack(settings, fleet, narrator) as stack:
        demo = Demo(fleet, stack, narrator)
        tap = Tap(demo.settings, topic_names(fleet).predictions)
        tap.start()
        demo.send_history(simulate(fleet, plan.history_devices, plan.seed), plan.bad_per_reason)
        demo.train("first_model", plan.train_limit_s)
        scorer = start_scorer(demo.settings, fleet)
        _await_first(tap, demo, scorer, plan)
        feed = LiveFeed(demo.settings, fleet, live_histories(fleet, plan), plan.rate)
        feed.start()
        _kill_and_restart(demo, scorer, tap, plan)
        demo.send_history(simulate(fleet, plan.history_devices, plan.seed, plan.history_devices), 0)
        second = demo.train("second_model", plan.train_limit_s)
        _await_second(tap, second, plan)
        live_sent = feed.finish()
        demo.sent.append(live_sent)
        _await_all(demo, tap, plan)
        tap.stop()
        account = reckon_topics(demo)
        places, worst = places_of(demo), parity_of(demo)
    scored = [s for s in tap.seen if s.event in live_sent.truth]
    report = make_report(
        account,
        _errors(fleet, live_sent, scored),
        worst,
        percentiles([s.at - s.sent_at for s in scored]),
        narrator.seconds,
        time.monotonic() - began,
        sorted({s.model_version for s in tap.seen}, key=int),
        _problems(tap.seen),
    )
    print_report(console, report, fleet.task.unit if isinstance(fleet.task, RemainingUsefulLife) else "", places)
    return report


def _await_first(tap: Tap, demo: Demo, scorer: ManagedProcess, plan: DemoPlan) -> None:
    """The scorer works through the whole history before devices that it never saw are streamed."""
    history = len(demo.sent[0].truth)
    with demo.narrator.stage("first_predictions", "scorer: predictions of the history", history) as s:
        deadline = time.monotonic() + plan.score_limit_s
        while len(tap.seen) < history:
            if not scorer.is_alive() or time.monotonic() > deadline:
                raise StackError(f"{len(tap.seen)} of {history} predictions came; read {scorer.log}")
            s.move(len(tap.seen))
            time.sleep(0.05)
        s.move(history, f"{history:,} events")


def _kill_and_restart(demo: Demo, scorer: ManagedProcess, tap: Tap, plan: DemoPlan) -> None:
    """SIGKILL in mid-stream, once live events are being scored; then the same scorer again."""
    with demo.narrator.stage("kill", f"{plan.rate:.0f} events/s live: SIGKILL the scorer, start it again") as s:
        before = len(tap.seen)
        if not tap.await_count(before + int(3 * plan.rate), plan.score_limit_s):
            raise StackError(f"live events are not scored; read {scorer.log}")
        scorer.kill()
        at = len(tap.seen)
        s.say("killed")
        again = start_scorer(demo.settings, demo.fleet)
        if not tap.await_count(at + 1, plan.score_limit_s):
            raise StackError(f"no prediction after the restart; read {again.log}")


def _await_second(tap: Tap, second: Announcement, plan: DemoPlan) -> None:
    if not tap.await_version(second.version, plan.score_limit_s):
        raise StackError(f"version {second.version} was announced but does not serve; read the scorer's log")
    tap.await_count(len(tap.seen) + int(5 * plan.rate), plan.score_limit_s)


def _await_all(demo: Demo, tap: Tap, plan: DemoPlan) -> None:
    expected = sum(len(sent.truth) for sent in demo.sent)
    with demo.narrator.stage("drain", "the last predictions", expected) as s:
        tap.await_count(expected, plan.score_limit_s)
        s.move(len(tap.seen), f"{len(tap.seen):,} of {expected:,}")


def reckon_topics(demo: Demo) -> Account:
    """Read predictions and dead letters as a downstream system would, from the beginning, and compare with what was sent."""
    with demo.narrator.stage("reckon", "read everything back and reckon up"):
        names = topic_names(demo.fleet)
        decode = msgspec.json.Decoder(Prediction).decode
        predictions = [decode(r.value or b"") for r in read_all(demo.settings, names.predictions)]
        dead = dead_letters(demo.settings, names.dead_letters)
        refused: Counter[str] = Counter()
        for sent in demo.sent:
            refused.update(sent.refused)
        valid = {event for sent in demo.sent for event in sent.truth}
        account = reckon(
            valid, [(p.device_id, p.run, p.seq) for p in predictions], Counter(r for *_, r in dead), refused
        )
        return replace(account, quarantine_differs=len(dead ^ quarantined(demo.settings, demo.fleet)))


def dead_letters(settings: Settings, topic: str) -> set[Refused]:
    """Source partition, offset and reason of every dead letter."""
    found = (r.headers for r in read_all(settings, topic))
    return {
        (int(h[f"{_ERRORS}partition"]), int(h[f"{_ERRORS}offset"]), h[f"{_ERRORS}exception.class.name"].decode())
        for h in found
    }


def quarantined(settings: Settings, fleet: FleetSpec) -> set[Refused]:
    """Source partition, offset and reason of every event that the judge has refused in the lake."""
    rows = read_table(
        settings, fleet.fleet, "quarantine", columns=["topic", "partition", "offset", "reason"]
    ).to_pylist()
    events = topic_names(fleet).events
    return {
        (r["partition"], r["offset"], r["reason"]) for r in rows if r["topic"] == events and r["reason"] != EXPECTATION
    }


def places_of(demo: Demo) -> Places:
    """Where a person looks further; the stack is stopped by then, so the command that starts it again."""
    home, airflow = demo.settings.home, demo.stack.airflow
    again = f"AIMAAS_HOME={os.path.relpath(home)} .venv/bin/aimaas up --fleet {demo.fleet.fleet}"
    return Places(
        airflow=f"{airflow.url}, login {airflow.user} / {airflow.password}, after `{again} --airflow-port {airflow.port}`",
        mlflow=f"{demo.settings.mlflow_tracking_uri}, pages by the same command",
        data_docs=demo.settings.data_docs,
        logs=home,
    )


def parity_of(demo: Demo) -> float:
    """Largest difference between an exported champion and scikit-learn, as its report says."""
    from aimaas.registry import show_model

    models = [show_model(demo.settings, demo.fleet, c.version) for c in demo.champions]
    return max(float(m["metrics"]["parity_max_rel"]) for m in models)


def _errors(fleet: FleetSpec, sent: Sent, scored: list[Seen]) -> Errors:
    known = [(sent.truth[s.event], s.prediction) for s in scored if not math.isnan(sent.truth[s.event])]
    truth, predicted = [t for t, _ in known], [p for _, p in known]
    return errors(truth, predicted, remaining_life=isinstance(fleet.task, RemainingUsefulLife))


def _problems(seen: list[Seen]) -> list[str]:
    versions = {s.model_version for s in seen}
    return [] if len(versions) >= 2 else [f"only version {', '.join(versions)} served; two were expected"]
