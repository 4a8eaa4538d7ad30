"""The alert rules of a fleet, compiled: their conditions as columns, and their stretches as arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from string import Formatter

import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.fleet.alert_rules import AlertRule, conditions
from aimaas.fleet.condition import UNKNOWN, Answers

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


class AlertRules:
    """R rules: those that wait for silence come first, the shortest before the others.

    `values` are the names that conditions and summaries use.
    """

    def __init__(self, fleet: FleetSpec) -> None:
        self.names = tuple(sorted(fleet.rules, key=lambda name: (fleet.rules[name].absent_ms or math.inf, name)))
        self.specs = tuple(fleet.rules[name] for name in self.names)
        self.digests = tuple(map(_digest, self.specs))
        self._conditions = [conditions(rule, fleet.rule_values) for rule in self.specs]
        used = {name for pair in self._conditions for condition in pair if condition for name in condition.names}
        used |= {name for rule in self.specs for _, name, _, _ in Formatter().parse(rule.summary) if name}
        self.values = tuple(name for name in fleet.rule_values if name in used)
        fires, clears = [r.fires_after for r in self.specs], [r.clears_after for r in self.specs]
        parts = [s.events for s in fires], [s.ms for s in fires], [s.events for s in clears], [s.ms for s in clears]
        self.stretches = tuple(_int64(part) for part in parts)  # events and ms that fire, events and ms that resolve
        self.silence_ms = _int64([r.absent_ms for r in self.specs if r.absent_ms is not None])

    def __len__(self) -> int:
        return len(self.names)

    def answers(self, columns: Mapping[str, Float64], rows: int) -> tuple[Answers, Answers]:
        """Answer `when` and `clear` of all rules for n rows: two arrays (n, R) of 1, 0 or UNKNOWN.

        `columns` has (n,) for each of `values`. A rule is not clear while its `when` is true.
        """
        when = np.zeros((rows, len(self)), np.int8)
        clear = np.zeros((rows, len(self)), np.int8)
        for r, (fires, clears) in enumerate(self._conditions):
            if fires is None:
                continue
            when[:, r] = fires.answers(columns)
            if clears is None:
                clear[:, r] = np.where(when[:, r] == UNKNOWN, UNKNOWN, 1 - when[:, r])
            else:
                clear[:, r] = np.where(when[:, r] == 1, 0, clears.answers(columns))
        return when, clear


def _digest(rule: AlertRule) -> str:
    """Return 8 hex digits that change with what a pending or clearing stretch counts."""
    counted = (rule.when, rule.for_, rule.clear, rule.keep_firing_for, rule.absent_for)
    return hashlib.sha256(repr(counted).encode()).hexdigest()[:8]


def _int64(values: list[int]) -> Int64:
    return np.array(values, np.int64)
