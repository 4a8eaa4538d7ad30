"""The health of a scorer: a decision on plain data, and the liveness that the loop updates for it.

Stalled (`/healthz` is red, a restart may help): no turn of the loop, a transaction that does not end, or a partition that
is not fetched although its log grows. Not ready (`/readyz` is red): stalled, or no model, no assignment yet, or no answer
from Kafka. A restart does not help with the last three.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from stream.monitoring.lag import Place


@dataclass(frozen=True)
class Limits:
    """Seconds without progress that count as stalled; `transaction_s` goes from the opening to the end of one."""

    stall_s: float = 30.0
    transaction_s: float = 30.0


@dataclass(frozen=True)
class Fetching:
    """A partition's place in its log.

    `still_since`: the time in seconds since when it is behind without moving, None if it is not.
    """

    place: Place
    still_since: float | None

    def then(self, place: Place, now: float) -> Fetching:
        """Return the same partition, seen at `place` now."""
        if not place.lag:
            return Fetching(place, None)
        still = self.still_since is not None and place.position == self.place.position
        return Fetching(place, self.still_since if still else now)


@dataclass(frozen=True)
class Vitals:
    """The known facts about a scorer. Times are monotonic seconds.

    `doing` names work that takes longer than a turn and may last until `until`. `partitions` is None before the first
    assignment. `answered_at` is the time when the broker last reported the ends of the partitions.
    """

    turned_at: float
    answered_at: float
    doing: str = ""
    until: float = 0.0
    transaction_opened_at: float | None = None
    model_version: str | None = None
    partitions: tuple[int, ...] | None = None
    fetching: Mapping[int, Fetching] = field(default_factory=dict)


@dataclass(frozen=True)
class Health:
    """The faults of a scorer, a sentence each: `stalled` ones should end it, `waiting` ones keep it from being ready."""

    stalled: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Return whether it makes progress, or will without help."""
        return not self.stalled

    @property
    def is_ready(self) -> bool:
        """Return whether it answers events now."""
        return not self.stalled and not self.waiting


def examine(vitals: Vitals, limits: Limits, now: float) -> Health:
    """Decide by the facts at `now`."""
    return Health(tuple(_stalled(vitals, limits, now)), tuple(_waiting(vitals, limits, now)))


def _stalled(v: Vitals, limits: Limits, now: float) -> list[str]:
    if v.doing:
        over = now - v.until
        return [f"{v.doing} exceeds its time limit by {over:.0f} s"] if over > 0 else []
    found = []
    if now - v.turned_at > limits.stall_s:
        found.append(f"the loop has not run for {now - v.turned_at:.0f} s")
    if v.transaction_opened_at is not None and now - v.transaction_opened_at > limits.transaction_s:
        found.append(f"a transaction has been open for {now - v.transaction_opened_at:.0f} s")
    for p, f in sorted(v.fetching.items()) if v.model_version is not None else ():
        if f.still_since is not None and now - f.still_since > limits.stall_s:
            seconds, place = now - f.still_since, f.place
            found.append(
                f"partition {p} stands at {place.position} of {place.end} and was not fetched for {seconds:.0f} s"
            )
    return found


def _waiting(v: Vitals, limits: Limits, now: float) -> list[str]:
    found = []
    if v.model_version is None:
        found.append("no model serves yet")
    if v.doing:
        found.append(v.doing)
    if v.partitions is None:
        found.append("the group has not assigned partitions yet")
    if v.partitions and now - v.answered_at > limits.stall_s:
        found.append(f"no broker has reported the ends of the partitions for {now - v.answered_at:.0f} s")
    return found


class Liveness:
    """Keeps a scorer's vitals. Only the loop's thread calls methods that change them; any thread may call `look`."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._vitals = Vitals(turned_at=now, answered_at=now)

    def turned(self, now: float) -> None:
        """Note that the loop has made a turn, which ends its busy work."""
        self._vitals = replace(self._vitals, turned_at=now, doing="")

    def busy(self, doing: str, limit_s: float, now: float) -> None:
        """Note the begin of work that may last up to `limit_s`, such as a restore. Earlier places mean nothing after it."""
        self._vitals = replace(self._vitals, doing=doing, until=now + limit_s, fetching={})

    def transaction_opened(self, at: float) -> None:
        """Note a transaction that is open since `at`."""
        self._vitals = replace(self._vitals, transaction_opened_at=at)

    def transaction_ended(self) -> None:
        """Note that no transaction is open: it was committed or aborted."""
        self._vitals = replace(self._vitals, transaction_opened_at=None)

    def serves(self, model_version: str | None) -> None:
        """Note that this model answers from now on. With None no model answers, and events wait."""
        waited = self._vitals.model_version is None  # places seen while waiting mean nothing
        self._vitals = replace(
            self._vitals, model_version=model_version, fetching={} if waited else self._vitals.fetching
        )

    def owns(self, partitions: Collection[int], now: float) -> None:
        """Note all owned partitions; none if other members own them all."""
        owned = tuple(sorted(partitions))
        fetching = {p: f for p, f in self._vitals.fetching.items() if p in owned}
        self._vitals = replace(self._vitals, partitions=owned, fetching=fetching, answered_at=now)

    def seen(self, places: Mapping[int, Place], now: float) -> None:
        """Note the ends of the partitions as the broker reported them."""
        before, owned = self._vitals.fetching, self._vitals.partitions or ()
        fetching = {
            p: before.get(p, Fetching(place, None)).then(place, now) for p, place in places.items() if p in owned
        }
        self._vitals = replace(self._vitals, fetching=fetching, answered_at=now)

    def look(self, now: float) -> Health:
        """Return the scorer's health at `now`."""
        return examine(self._vitals, self._limits, now)
