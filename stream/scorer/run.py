"""The stream scorer as a process: wait for a champion, score until asked to stop."""

from __future__ import annotations

import signal
import threading
from contextlib import nullcontext

from aimaas.fleet import FleetSpec
from aimaas.kafka import kafka_errors, partition_counts
from aimaas.kafka.failures import check_granted
from aimaas.kafka.outage import outage_of
from aimaas.kafka.roles import rights_of
from aimaas.logs import logger
from aimaas.settings import Settings
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.scorer.garbage import collected_between_batches
from stream.scorer.loop import Scorer
from stream.scorer.monitor import Monitor
from stream.scorer.options import ScorerOptions
from stream.scorer.rates import Totals
from stream.state.topic import check_partitions

log = logger("scorer")

_LOOK_S = 0.1  # interval of the checks for a champion


def score(
    settings: Settings,
    fleet: FleetSpec,
    instance: str = "0",
    options: ScorerOptions | None = None,
    stop: threading.Event | None = None,
) -> Totals:
    """Score events until `stop` is set (default: until SIGTERM or SIGINT). Returns the totals.

    `instance` names this scorer within the fleet. A scorer that starts under the name of a killed one takes over at once. A
    second scorer of the same name fences the first. Raises KafkaError, StateError.
    """
    ending = stop if stop is not None else stop_on_signals()
    process = nullcontext() if stop is not None else collected_between_batches()
    options, monitor = options or ScorerOptions(), Monitor(settings, fleet)
    watcher = ModelWatcher(settings, fleet, instance)
    with monitor.served_at(options.metrics_host, options.metrics_port):
        _find_topics(settings, fleet, ending, monitor)
        if ending.is_set():
            return monitor.totals
        watcher.start()
        try:
            model = _first_model(watcher, fleet, ending, monitor)
            if model is not None:
                monitor.starts()
                with kafka_errors(settings, f"score fleet {fleet.fleet}", *rights_of("scorer", fleet)), process:
                    Scorer(settings, fleet, instance, options, watcher, model, monitor).run(ending)
        finally:
            watcher.stop()
    return monitor.totals


def _find_topics(settings: Settings, fleet: FleetSpec, stop: threading.Event, monitor: Monitor) -> None:
    """Wait until the cluster answers, or `stop`. Raises KafkaError if waiting cannot help or topics are missing."""

    def stopped(pause_s: float) -> bool:
        monitor.waits()
        return stop.wait(pause_s)

    outage_of(settings).wait(stopped, f"score fleet {fleet.fleet}")
    if not stop.is_set():
        rights = rights_of("scorer", fleet)
        topics = dict.fromkeys(right.name for right in rights if right.kind == "topic")
        check_granted(settings, f"score fleet {fleet.fleet}", *rights)
        check_partitions(settings, fleet, partition_counts(settings, topics, *rights))


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _first_model(watcher: ModelWatcher, fleet: FleetSpec, stop: threading.Event, monitor: Monitor) -> Model | None:
    """Wait until a champion can serve; None if the scorer is asked to stop first."""
    said = False
    while not stop.is_set():
        monitor.waits()
        monitor.models_seen(watcher.refusals, watcher.passed_over)
        at_end = watcher.wait_for_end(_LOOK_S)
        model = watcher.newest()
        if model is not None and at_end:
            return model
        if at_end and not said:
            log.info("no champion yet: events wait for predictions; the lake admits them already", fleet=fleet.fleet)
            said = True
        if at_end:
            stop.wait(_LOOK_S)
    return None
