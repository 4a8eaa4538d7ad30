"""The health of a scorer: a decision on plain data, and the liveness that the loop updates for it.

Stalled (`/healthz` is red, starting it anew may help): no turn of the loop, a transaction that does not end, or a partition that is
not fetched although its log goes on. Not ready (`/readyz` is red): stalled, or there is nothing to score with, nothing to
score yet, or no word from Kafka, for which a new start is no help.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from stream.monitoring.lag import Place


@dataclass(frozen=True)
class Limits:
    """Seconds after which standing still counts as stalled; `transaction_s` goes from the opening to the end of one."""

    stall_s: float = 30.0
    transaction_s: float = 30.0


@dataclass(frozen=True)
class Fetching:
    """A partition's place in its log; `still_since`: seconds, since when it has been behind without moving, None if it is not."""

    place: Place
    still_since: float | None

    def then(self, place: Place, now: float) -> Fetching:
        """The same partition, seen at `place` now."""
        if not place.lag:
            return Fetching(place, None)
        still = self.still_since is not None and place.position == self.place.position
        return Fetching(place, self.still_since if still else now)


@dataclass(frozen=True)
class Vitals:
    """What is known of a scorer. Times are monotonic seconds.

    `doing` names work that takes longer than a turn and may last until `until`. `partitions` is None before the group has
    shared them out; `answered_at` is when the broker last told where they end.
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
    """What is wrong with a scorer, a sentence each: `stalled` should end it, `waiting` keeps it from being ready."""

    stalled: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()

    @property
    def is_live(self) -> bool:
        """Whether it gets on, or will without help."""
        return not self.stalled

    @property
    def is_ready(self) -> bool:
        """Whether events are answered now."""
        return not self.stalled and not self.waiting


def examine(vitals: Vitals, limits: Limits, now: float) -> Health:
    """Decide from what is known at `now`."""
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
    """Keeps a scorer's vitals. One thread, the loop's, calls what changes them; `look` may be called from any."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._vitals = Vitals(turned_at=now, answered_at=now)

    def turned(self, now: float) -> None:
        """The loop has made a turn; ends what it was busy with."""
        self._vitals = replace(self._vitals, turned_at=now, doing="")

    def busy(self, doing: str, limit_s: float, now: float) -> None:
        """The loop begins work that may last up to `limit_s`, such as restoring state; places seen before say nothing after it."""
        self._vitals = replace(self._vitals, doing=doing, until=now + limit_s, fetching={})

    def transaction_opened(self, at: float) -> None:
        """A transaction has been open since `at`."""
        self._vitals = replace(self._vitals, transaction_opened_at=at)

    def transaction_ended(self) -> None:
        """No transaction is open: committed or aborted."""
        self._vitals = replace(self._vitals, transaction_opened_at=None)

    def serves(self, model_version: str | None) -> None:
        """This model answers from now on, or with None no model does: events wait."""
        waited = self._vitals.model_version is None  # places seen meanwhile say nothing
        self._vitals = replace(
            self._vitals, model_version=model_version, fetching={} if waited else self._vitals.fetching
        )

    def owns(self, partitions: Collection[int], now: float) -> None:
        """The group gave these partitions, all that are owned; none where others have them all."""
        owned = tuple(sorted(partitions))
        fetching = {p: f for p, f in self._vitals.fetching.items() if p in owned}
        self._vitals = replace(self._vitals, partitions=owned, fetching=fetching, answered_at=now)

    def seen(self, places: Mapping[int, Place], now: float) -> None:
        """The broker told where the partitions end."""
        before, owned = self._vitals.fetching, self._vitals.partitions or ()
        fetching = {
            p: before.get(p, Fetching(place, None)).then(place, now) for p, place in places.items() if p in owned
        }
        self._vitals = replace(self._vitals, fetching=fetching, answered_at=now)

    def look(self, now: float) -> Health:
        """How the scorer is at `now`."""
        return examine(self._vitals, self._limits, now)
