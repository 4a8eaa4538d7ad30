"""The model that serves: the newest announced one, unless it gives too few finite answers."""

from __future__ import annotations

from aimaas.fleet import FleetSpec
from stream.model.answers import AnswerWatch
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.scorer.monitor import Monitor


class Serving:
    """`model` serves while `serves` is true; otherwise events wait, and its kernel still restores state like any other."""

    def __init__(self, fleet: FleetSpec, watcher: ModelWatcher, model: Model, monitor: Monitor) -> None:
        self._watcher, self._monitor = watcher, monitor
        self.model, self.serves = model, True
        self.answers = AnswerWatch(fleet.gates.unanswered_share)
        monitor.model_serves(model)

    def change(self) -> bool:
        """Withdraw a model that gives too few finite answers, and take the newest one. Return whether another model serves now.

        The loop calls it between two batches. It does not block and raises nothing: the watcher has loaded the model.
        """
        why = self.answers.complaint(self.model.sequence)
        if why is not None and self.serves:
            self.serves = False
            self._watcher.withdraw(self.model.sequence, why)
            self._monitor.model_withdrawn(self.model, why)
        newest, before = self._watcher.newest(), self.model
        if newest is not None and newest is not before and self.answers.complaint(newest.sequence) is None:
            self._monitor.model_serves(newest, before=before)
            self.model, self.serves = newest, True
        self._monitor.models_seen(self._watcher.refusals, self._watcher.passed_over)
        return self.model is not before
