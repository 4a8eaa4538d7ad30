"""The judges of a partition, each with the offsets to which its rules apply."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from aimaas.admission.judge import Judge
from aimaas.admission.rule_log import Since, Timeline
from aimaas.admission.rules import RuleSet, digest_of, fleet_under, rules_of
from aimaas.fleet import FleetSpec

Stretch = tuple[Judge, slice]


class Judges:
    """The judge of each offset of one partition. A judge of older rules is created at its first use.

    The offsets of `since` rise. Its first rules also apply to all earlier offsets. If `since` is empty, the rules of the present
    fleet file apply to all offsets.
    """

    def __init__(self, since: Sequence[Since], known: RuleBook) -> None:
        self._starts, self._digests, self._known = [s.offset for s in since], [s.digest for s in since], known

    def parts(self, offsets: npt.NDArray[np.int64]) -> Iterator[Stretch]:
        """Split rising offsets (n,) into stretches with one judge each.

        Raises StateError if old rules cannot be applied any more.
        """
        if not self._starts:
            yield self._known.present, slice(0, len(offsets))
            return
        done = 0
        while done < len(offsets):
            at = max(bisect_right(self._starts, int(offsets[done])) - 1, 0)
            last = at + 1 == len(self._starts)
            end = len(offsets) if last else int(np.searchsorted(offsets, self._starts[at + 1]))
            yield self._known.judge(self._digests[at]), slice(done, end)
            done = end


class RuleBook:
    """The judges of a fleet by the digest of their rules.

    `fleet` is the present fleet file, `digest` belongs to it. Pickling drops the judges.
    """

    def __init__(self, fleet: FleetSpec, versions: Mapping[str, RuleSet]) -> None:
        self.fleet, self._versions, self.digest = fleet, versions, digest_of(rules_of(fleet))
        self._made: dict[str, Judge] = {}

    @property
    def present(self) -> Judge:
        """The judge with the rules of the present fleet file."""
        return self.judge(self.digest)

    def judge(self, digest: str) -> Judge:
        """The judge with these rules. Raises StateError if they cannot be applied any more."""
        if digest not in self._made:
            then = self.fleet if digest == self.digest else fleet_under(self._versions[digest], self.fleet)
            self._made[digest] = Judge(then)
        return self._made[digest]

    def judges(self, timeline: Timeline) -> Judges:
        """The judges of the partition with this timeline."""
        return Judges(timeline.since, self)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_made": {}}
