"""The demo: its steps in order. Each step waits for a condition, with a limit."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec, RemainingUsefulLife
from aimaas.records.events import Announcement
from aimaas.settings import Settings
from aimaas.topics import topic_names
from local.demo.account import Errors, errors, percentiles
from local.demo.narrator import Narrator
from local.demo.report import Report, make_report, print_report
from local.demo.steps import Demo, parity_of, places_of, reckon_topics, running_stack
from local.demo.tap import Seen, Tap
from local.demo.traffic import DemoPlan, LiveFeed, Sent, live_histories
from local.stack import start_scorer
from local.supervision.processes import ManagedProcess
from stream.devices.simulator import simulate


def demo_settings(settings: Settings, fleet: FleetSpec, name: str) -> Settings:
    """Return settings with the demo's own folder below AIMAAS_HOME, so that it does not disturb your stack."""
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


def run_demo(settings: Settings, fleet: FleetSpec, *, cmapss: Path | None, subset: str, console: Console) -> Report:
    """Run the demo on simulated devices, or with `cmapss` on NASA's files. Raises AimaasError if a stage fails."""
    if cmapss is not None:
        from local.demo.cmapss import run_cmapss

        return run_cmapss(demo_settings(settings, fleet, subset), fleet, cmapss, subset, console)
    return run_simulated(demo_settings(settings, fleet, "simulated"), fleet, console)


def run_simulated(settings: Settings, fleet: FleetSpec, console: Console) -> Report:
    """Run the steps: history, first model, new devices, a kill, a second model, the comparison."""
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
    """Wait until the scorer has scored the whole history, before new devices send events."""
    history = len(demo.sent[0].truth)
    with demo.narrator.stage("first_predictions", "scorer: predictions of the history", history) as s:
        deadline = time.monotonic() + plan.score_limit_s
        while len(tap.seen) < history:
            if not scorer.is_alive() or time.monotonic() > deadline:
                raise StackError(f"only {len(tap.seen)} of {history} predictions arrived; see {scorer.log}")
            s.move(len(tap.seen))
            time.sleep(0.05)
        s.move(history, f"{history:,} events")


def _kill_and_restart(demo: Demo, scorer: ManagedProcess, tap: Tap, plan: DemoPlan) -> None:
    """Kill the scorer with SIGKILL while it scores live events, then start it again."""
    with demo.narrator.stage("kill", f"{plan.rate:.0f} events/s live: SIGKILL the scorer, start it again") as s:
        before = len(tap.seen)
        if not tap.await_count(before + int(3 * plan.rate), plan.score_limit_s):
            raise StackError(f"live events are not scored; see {scorer.log}")
        scorer.kill()
        at = len(tap.seen)
        s.say("killed")
        again = start_scorer(demo.settings, demo.fleet)
        if not tap.await_count(at + 1, plan.score_limit_s):
            raise StackError(f"no prediction after the restart; see {again.log}")


def _await_second(tap: Tap, second: Announcement, plan: DemoPlan) -> None:
    if not tap.await_version(second.version, plan.score_limit_s):
        raise StackError(f"version {second.version} was announced but does not serve; see the scorer's log")
    tap.await_count(len(tap.seen) + int(5 * plan.rate), plan.score_limit_s)


def _await_all(demo: Demo, tap: Tap, plan: DemoPlan) -> None:
    expected = sum(len(sent.truth) for sent in demo.sent)
    with demo.narrator.stage("drain", "the last predictions", expected) as s:
        tap.await_count(expected, plan.score_limit_s)
        s.move(len(tap.seen), f"{len(tap.seen):,} of {expected:,}")


def _errors(fleet: FleetSpec, sent: Sent, scored: list[Seen]) -> Errors:
    known = [(sent.truth[s.event], s.prediction) for s in scored if not math.isnan(sent.truth[s.event])]
    truth, predicted = [t for t, _ in known], [p for _, p in known]
    return errors(truth, predicted, remaining_life=isinstance(fleet.task, RemainingUsefulLife))


def _problems(seen: list[Seen]) -> list[str]:
    versions = {s.model_version for s in seen}
    return [] if len(versions) >= 2 else [f"only version {', '.join(versions)} served; two were expected"]
