"""The demo on NASA's C-MAPSS data: trains on `train_*`, streams `test_*`, evaluates the last prediction of each test engine."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
from rich.console import Console

from aimaas.errors import StackError
from aimaas.fleet import FleetSpec
from aimaas.kafka import read_all
from aimaas.records.events import Prediction
from aimaas.settings import Settings
from aimaas.topics import topic_names
from local.demo.account import errors, percentiles
from local.demo.narrator import Narrator
from local.demo.report import Report, make_report, print_report
from local.demo.steps import Demo, parity_of, places_of, reckon_topics, running_stack
from local.demo.tap import Tap
from local.demo.traffic import DemoPlan
from local.stack import start_scorer
from stream.replay.cmapss import read_cmapss, read_remaining

CAP = 125.0  # as in published results; the truth is capped like the training labels


def run_cmapss(settings: Settings, fleet: FleetSpec, directory: Path, subset: str, console: Console) -> Report:
    """Run the pipeline on one subset, and report RMSE and PHM08 score at the last row of each test engine."""
    began, plan = time.monotonic(), DemoPlan()
    train, test = (read_cmapss(fleet, directory, subset, part) for part in ("train", "test"))
    remaining = read_remaining(directory, subset).tolist()
    narrator = Narrator(console)
    with running_stack(settings, fleet, narrator) as stack:
        demo = Demo(fleet, stack, narrator)
        demo.send_history(train, 0)
        demo.train("model", limit_s=1800)
        tap = Tap(demo.settings, topic_names(fleet).predictions)
        tap.start()
        scorer = start_scorer(demo.settings, fleet)
        demo.send_history(test, 0)
        expected = sum(len(sent.truth) for sent in demo.sent)
        with narrator.stage("predictions", "scorer: predictions of training and test engines", expected) as s:
            if not tap.await_count(expected, plan.score_limit_s):
                raise StackError(f"only {len(tap.seen)} of {expected} predictions arrived; see {scorer.log}")
            s.move(expected)
        tap.stop()
        account = reckon_topics(demo)
        last = last_predictions(demo.settings, fleet)
        places = places_of(demo)
        parity = parity_of(demo)
    report = make_report(
        account,
        errors([min(r, CAP) for r in remaining], [last[d] for d in test.devices], remaining_life=True),
        parity,
        percentiles([]),  # recorded events have their own times, so latency is not measured
        narrator.seconds,
        time.monotonic() - began,
        [c.version for c in demo.champions],
        [],
    )
    print_report(console, report, fleet.task.unit, places)
    return report


def last_predictions(settings: Settings, fleet: FleetSpec) -> dict[str, float]:
    """Return each device's prediction with the highest sequence number, as a consumer reads it."""
    decode = msgspec.json.Decoder(Prediction).decode
    found: dict[str, Prediction] = {}
    for record in read_all(settings, topic_names(fleet).predictions):
        p = decode(record.value or b"")
        if p.device_id not in found or p.seq > found[p.device_id].seq:
            found[p.device_id] = p
    return {device: p.prediction for device, p in found.items()}
