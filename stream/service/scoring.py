"""Scores one batch of instances: the judge's rules, one call of the kernel, one run of the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from aimaas.records.readings import Fault, ReadingRules
from aimaas.records.refusal_reasons import Reason
from stream.model.load import Model
from stream.records.predictions import no_prediction
from stream.service.explanations import Reasoned, reasons
from stream.service.instances import Asked, Events, Explained, Features, Float32, Instance

Answer = float | Reasoned | Fault


class Scoring:
    """Scores the instances of one fleet, each in a slot of its own. Not thread-safe: it keeps the slots' memory."""

    def __init__(self, fleet: FleetSpec) -> None:
        self._rules, self._state = ReadingRules(fleet), DeviceState.of(fleet)

    def score(self, model: Model, asked: Sequence[Asked]) -> list[Answer]:
        """Return for each instance, by its place, a prediction (with reasons if requested) or a fault.

        The answer to an instance of events is the stream's answer to its last event, bit for bit, if the instance holds the
        whole run. Faults name the first event that admission would refuse.
        """
        instances = [one.instance if isinstance(one, Explained) else one for one in asked]
        faults = self._faults(instances)
        good = [i for i in range(len(instances)) if i not in faults]
        features = self._features(model, [instances[i] for i in good])
        predictions = model.predict(features) if good else np.zeros(0, np.float32)
        answers: list[Answer] = [0.0] * len(instances)
        for i, fault in faults.items():
            answers[i] = fault
        for i, answer in zip(good, predictions.tolist(), strict=True):
            answers[i] = answer if np.isfinite(answer) else _no_answer(model, answer)
        explained = [k for k, i in enumerate(good) if isinstance(asked[i], Explained) and np.isfinite(predictions[k])]
        if explained:
            for k, found in zip(explained, reasons(model, features[explained], predictions[explained]), strict=True):
                answers[good[k]] = found
        return answers

    def _faults(self, instances: Sequence[Instance]) -> dict[int, Fault]:
        """Return the earliest fault of each instance that has one; its row is counted within the instance."""
        places = [i for i, one in enumerate(instances) if isinstance(one, Events)]
        if not places:
            return {}
        values = np.concatenate([one.values for one in instances if isinstance(one, Events)])
        begins = np.cumsum([0, *(instances[i].rows for i in places)])
        found: dict[int, Fault] = {}
        for fault in self._rules.faults(values):
            k = int(np.searchsorted(begins, fault.row, "right")) - 1
            row, known = fault.row - int(begins[k]), found.get(places[k])
            if known is None or row < known.row:
                found[places[k]] = fault._replace(row=row)
        return found

    def _features(self, model: Model, instances: Sequence[Instance]) -> Float32:
        """Return features (n, F) float32: of each instance's last event, or as given."""
        out = np.empty((len(instances), model.kernel.width), np.float32)
        events = [(i, one) for i, one in enumerate(instances) if isinstance(one, Events)]
        for i, one in enumerate(instances):
            if isinstance(one, Features):
                out[i] = one.row
        if events:
            lengths = [one.rows for _, one in events]
            rows = np.concatenate([one.values for _, one in events]).astype(np.float32)
            resets = np.concatenate([one.resets for _, one in events])
            slots = np.repeat(self._slots(len(events)), lengths)
            advanced = model.kernel.advance(self._state, slots, rows, resets)
            out[[i for i, _ in events]] = advanced[np.cumsum(lengths) - 1]
        return out

    def _slots(self, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return this many slots; an instance's first event resets its slot."""
        return self._state.slots([str(i) for i in range(count)])


def _no_answer(model: Model, answer: float) -> Fault:
    return Fault(0, "", Reason.NO_PREDICTION, no_prediction(model, answer), str(answer), "a finite number")
