"""Decides what a replay does with each dead letter, and why. Plain data in and out.

A letter is left alone unless its event can have a prediction and has none. If the event is the newest of its device, it
goes into the stream, and the scorer handles it like any event. If the device has newer events, the event is scored in a
batch. An admitted event without an answer from the model is in its device's state, so the stream would call it a duplicate:
it is scored in a batch too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

import numpy as np

from aimaas.admission.judge import Judge, Reason
from aimaas.admission.partitioner import partition_of
from aimaas.fleet import FleetSpec
from aimaas.kernel.state import DeviceState
from stream.records.dead_letters import Source
from upkeep.dead_letters.letters import Letter
from upkeep.dead_letters.log import CLOCKS_MS, Account, Content, Event, OrderKey, Sent


class Action(Enum):
    """The action for a letter."""

    STREAM = "sent into the stream"
    BACKFILL = "scored by batch"
    LEFT = "left"


@dataclass(frozen=True)
class Replayed:
    """A letter, its action, and the reason; `event` is set unless the letter is left alone."""

    letter: Letter
    action: Action
    why: str
    event: Event | None = None


@dataclass
class Served:
    """The stream's knowledge of a device: its newest order key, and by order key the contents with a prediction now or soon."""

    newest: OrderKey | None = None
    contents: dict[OrderKey, Content] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Add an event."""
        self.contents[event.at] = event.content
        self.newest = max(self.newest or event.at, event.at)


def why_left(letter: Letter, refused: Set[Source], account: Account) -> str | None:
    """Return why a letter needs no replay or cannot have one, by the topics; None if a replay is possible.

    `refused` are the sources of all letters.
    """
    cut = [what for what in ("key", "value") if what in letter.truncated]
    if cut:
        return f"its {cut[0]} is truncated here; the device must send it again"
    if letter.reason == Reason.CONFLICT.label:
        return "a conflict: another record has its order key, and a replay does not choose between the two"
    if account.is_predicted(letter.origin):
        return "replayed before: its event has a prediction"
    newest = [letter.origin, *account.copies.get(letter.origin, ())][-1]
    if letter.source != newest:
        scored = (
            "and is not scored yet"
            if why_unknown(letter, account) is None
            else "and retention may have deleted its prediction"
        )
        again = "and was refused again: replay that copy" if newest in refused else scored
        return f"replayed before: its copy is {newest} {again}"
    if letter.reason == Reason.DUPLICATE.label and letter.copy_of is None:
        return "a duplicate: the event that it repeats has a prediction"
    return None


def why_unknown(letter: Letter, account: Account) -> str | None:
    """Return why it is unknown whether the letter's event has a prediction: retention may have deleted it. None if it is known."""
    places = {
        letter.origin.partition,
        letter.source.partition,
    }  # the scorer predicts in the event's partition, a replay in the key's partition
    if letter.key:
        places.add(partition_of(letter.key, account.partitions))
    for partition in sorted(places & account.oldest_ms.keys()):
        oldest_ms = account.oldest_ms[partition]
        if oldest_ms is None or letter.at_ms < oldest_ms + CLOCKS_MS:
            begins = f"begins at {_time(oldest_ms)}" if oldest_ms is not None else "has lost all its records"
            return (
                f"cannot tell whether it has a prediction: partition {partition} of the predictions topic {begins}; "
                "the table predictions of `aimaas export` may still have it"
            )
    return None


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1e3, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def judged_now(judge: Judge, letter: Letter, now_ms: int) -> Event | str:
    """Return the letter's event by the present fleet file and the broker time `now_ms`; or the reason why it is still refused."""
    batch = judge.decode([letter.key], [letter.value])
    judge.order(batch, np.array([now_ms], np.int64), DeviceState((), 1, 0))
    if batch.reason[0] != Reason.ADMITTED:
        return f"still refused: {Reason(batch.reason[0]).label}: {batch.detail[0]}"
    content = int(batch.ts_us[0]), batch.values[0].tobytes()
    return Event(batch.device_ids[0], (int(batch.run[0]), int(batch.order[0])), content)


def served_of(sent: Sequence[Sent], events: Sequence[Event | None], refused: Set[Source], account: Account) -> Served:
    """Return the stream's knowledge of a device: all `sent` records but the `refused` ones without a batch prediction."""
    known = Served()
    for record, event in zip(sent, events, strict=True):
        if event is not None and (record.source not in refused or record.source in account.predicted):
            known.add(event)
    return known


def place(fleet: FleetSpec, candidates: Sequence[tuple[Letter, Event]], served: Mapping[str, Served]) -> list[Replayed]:
    """Decide the actions for letters that may be replayed, in the order of each device; updates `served` (by device)."""
    placed = []
    unanswered: set[tuple[str, OrderKey]] = set()  # one event per place, because a history has one row for each place
    for letter, event in sorted(candidates, key=lambda c: (c[1].at, c[0].at_ms, c[0].source)):
        known = served[event.device_id]
        if letter.was_admitted and (event.device_id, event.at) not in unanswered:
            placed.append(Replayed(letter, Action.BACKFILL, "its device's state holds it", event))
            unanswered.add((event.device_id, event.at))
            known.add(event)
            continue
        before = known.contents.get(event.at)
        if before is not None:
            what = (
                "a duplicate: its like has"
                if before == event.content
                else "a conflict: another record with its run and order has"
            )
            placed.append(Replayed(letter, Action.LEFT, f"{what} the prediction"))
            continue
        if known.newest is not None and _jumps(fleet, letter, known.newest, event.at):
            run, order = known.newest
            why = f"still refused: {Reason.JUMP.label}: not confirmed by later records; the device's newest is run {run}, {order}"
            placed.append(Replayed(letter, Action.LEFT, why))
            continue
        was_refused_again = letter.copy_of is not None and letter.reason in (Reason.LATE.label, Reason.DUPLICATE.label)
        if not was_refused_again and (known.newest is None or event.at > known.newest):
            placed.append(Replayed(letter, Action.STREAM, "the newest event of its device", event))
        else:
            placed.append(Replayed(letter, Action.BACKFILL, "the device has newer events", event))
        known.add(event)
    return placed


def _jumps(fleet: FleetSpec, letter: Letter, newest: OrderKey, at: OrderKey) -> bool:
    """Return whether the stream refuses an event as a jump above its device's newest, or did so and no later event confirmed it."""
    far = at[0] - newest[0] > fleet.jump_run or at[1] - newest[1] > fleet.jump_order
    return at > newest and (far or letter.reason == Reason.JUMP.label)
