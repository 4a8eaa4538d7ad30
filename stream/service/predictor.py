"""Turns instances into predictions of one model version: from the cache, or by the model."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from cachetools import LRUCache

from aimaas.fleet import FleetSpec
from aimaas.kernel.plan import channels_of
from aimaas.logs import logger
from aimaas.records.readings import Fault
from aimaas.records.refusal_reasons import Reason
from stream.model.answers import AnswerWatch
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.monitoring.health import Health
from stream.service.batching import Batcher
from stream.service.explanations import Reasoned
from stream.service.instances import Events, Explained, Instance, sample
from stream.service.metrics import ServiceMetrics
from stream.service.options import ServiceOptions
from stream.service.problems import FieldError, Problem, invalid, reading_error
from stream.service.scoring import Answer, Scoring

_LOOK_S = 0.1  # interval of the checks for a new champion
_MOST_ERRORS = 20  # in one answer

log = logger("service")


class Predictor:
    """Serves the newest champion. Lives in one event loop: `follow` and `predict` run there."""

    def __init__(self, fleet: FleetSpec, options: ServiceOptions, metrics: ServiceMetrics) -> None:
        self._fleet, self._options, self._metrics = fleet, options, metrics
        self._cache: LRUCache[tuple[str, bytes], float] = LRUCache(options.cache)
        self._served: Model | None = None
        self._turned_at = time.monotonic()  # last turn of the event loop
        self._answers = AnswerWatch(fleet.gates.unanswered_share)
        self.batcher = Batcher(Scoring(fleet).score, options.queue, options.batch_rows, metrics.rows.observe)

    async def follow(self, watcher: ModelWatcher) -> None:
        """Take each new champion, warmed up; ends by cancellation or by the watcher's error."""
        while True:
            self._turned_at = time.monotonic()
            self._withdraw(watcher)
            newest = watcher.newest()
            self._metrics.models_seen(watcher.refusals, watcher.passed_over)
            if newest is not None and newest is not self._served and self._answers.complaint(newest.sequence) is None:
                with suppress(Problem):  # the queue is full: the next check tries again
                    await self.take(newest)
            await asyncio.sleep(_LOOK_S)

    def _withdraw(self, watcher: ModelWatcher) -> None:
        """Withdraw a model that gives too few finite answers."""
        model = self._served
        why = None if model is None else self._answers.complaint(model.sequence)
        if model is not None and why is not None:
            watcher.withdraw(model.sequence, why)
            self._served = None
            self._metrics.model_withdrawn()
            log.error("model withdrawn", fleet=self._fleet.fleet, version=model.version, reason=why)

    async def take(self, model: Model) -> None:
        """Serve `model` from now on. It is warmed up first, so that no caller waits for compiled code.

        Then all present objects are excluded from Python's garbage collection: walking over the libraries' objects would
        stop the service for 0.1 s, about every thousand requests.
        """
        await self.batcher.answers(model, [sample(self._fleet)])
        gc.collect()
        gc.freeze()
        self._served = model
        self._metrics.model_changed(model.version, model.promoted_at.timestamp())
        log.info("model serves", fleet=self._fleet.fleet, version=model.version)

    def model(self) -> Model:
        """Return the model that serves. Raises Problem (503) if there is none yet."""
        if self._served is None:
            name = self._fleet.fleet
            raise Problem(
                503,
                "no-model",
                f"fleet {name} has no serving champion yet: the first training promotes one automatically (DAG {name}_train); "
                f"`aimaas models list --fleet {name}` lists all versions",
            )
        return self._served

    @property
    def served(self) -> Model | None:
        """Return the model that serves; None if there is none."""
        return self._served

    def look(self) -> Health:
        """Return the service's present health; any thread may call it."""
        stalled = []
        if (still := time.monotonic() - self._turned_at) > self._options.stall_s:
            stalled.append(f"the event loop has not run for {still:.0f} s")
        if (busy := self.batcher.busy_s) > self._options.stall_s:
            stalled.append(f"the model has been at one batch for {busy:.0f} s")
        return Health(tuple(stalled), () if self._served else ("no model serves yet",))

    def check_well(self) -> None:
        """Raise Problem (503) if the worker hangs."""
        busy = self.batcher.busy_s
        if busy > self._options.stall_s:
            raise Problem(503, "stalled", f"the model has been scoring one batch for {busy:.0f} s: restart the service")

    async def predict(
        self, model: Model, digests: Sequence[bytes], decode: Callable[[int], Instance], pointers: Sequence[str]
    ) -> list[float]:
        """Return predictions of `model` for the inputs with these digests; `decode(i)` gives an input that the cache does not hold.

        Raises Problem for the first instance that cannot be decoded, or for all instances that the judge refuses.
        """
        keys = [(model.sha256, digest) for digest in digests]
        found = [self._cache.get(key, math.nan) for key in keys]  # no answer is NaN
        missing = [i for i, answer in enumerate(found) if math.isnan(answer)]
        self._metrics.hits.inc(len(found) - len(missing))
        self._metrics.misses.inc(len(missing))
        if missing:
            instances = [decode(i) for i in missing]
            answers = await self.batcher.answers(model, instances)
            self._count(model, instances, answers, [digests[i] for i in missing])
            self._check(answers, [pointers[i] for i in missing])
            for i, answer in zip(missing, answers, strict=True):
                if isinstance(answer, float):
                    found[i] = answer
                    self._remember(keys[i], answer)
        return found

    def _count(
        self, model: Model, instances: Sequence[Instance], answers: Sequence[Answer], digests: Sequence[bytes]
    ) -> None:
        """Count the model's answers to events within their ranges.

        Features may be anything, so their answers say nothing about the model.
        """
        events = [i for i, one in enumerate(instances) if isinstance(one, Events)]
        without = [digests[i] for i in events if _is_unanswered(answers[i])]
        refused = sum(isinstance(answers[i], Fault) for i in events) - len(without)
        self._answers.count(model.sequence, len(events) - refused, without)

    async def explain(self, model: Model, instances: Sequence[Instance], pointers: Sequence[str]) -> list[Reasoned]:
        """Return predictions with their reasons, by a model that has typical values. They are not cached. Raises Problem."""
        channels = len(channels_of(model.metadata.plan.feature_names))
        answers = await self.batcher.answers(model, [Explained(one, channels) for one in instances])
        self._check(answers, pointers)
        return [answer for answer in answers if isinstance(answer, Reasoned)]

    @staticmethod
    def _check(answers: Sequence[Answer], pointers: Sequence[str]) -> None:
        """Raise Problem for the instances that the judge refused or that the model has no answer for.

        `pointers` are their places in the body.
        """
        faults = [(p, answer) for p, answer in zip(pointers, answers, strict=True) if isinstance(answer, Fault)]
        if not faults:
            return
        errors = [_error(p, fault) for p, fault in faults[:_MOST_ERRORS]]
        if all(fault.reason == Reason.NO_PREDICTION for _, fault in faults):
            raise Problem(422, "no-prediction", f"{errors[0].pointer}: {errors[0].detail}", errors)
        raise invalid(errors)

    def _remember(self, key: tuple[str, bytes], answer: float) -> None:
        if self._options.cache:
            self._cache[key] = answer


def _is_unanswered(answer: Answer) -> bool:
    return isinstance(answer, Fault) and answer.reason == Reason.NO_PREDICTION


def _error(pointer: str, fault: Fault) -> FieldError:
    if fault.name:
        return reading_error(pointer, fault)
    return FieldError(pointer, fault.detail, fault.found, fault.allowed, fault.reason.label)
