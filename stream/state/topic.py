"""The state topic: snapshots of devices beside the input log. Restores device state from both.

`iot.<fleet>.state` is compacted and has the events topic's partitions. All records of partition p
(`stream/state/records.py`) are written in the transactions that move the group's offset of p.

A restore reads them and then the input from `replay_from` to the committed offset, and skips each event before its device's
`upto`. That input gives the same state again, since admission and kernel depend on nothing else. Forgotten devices have
notes, so the re-read forgets no device before the newest `upto`: only from there on does memory hold all devices of that
time.

Older records are as good as the newest ones. They only make the re-read longer, so a late commit marker does no harm here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from aimaas.admission.judge import Judge
from aimaas.admission.judges_by_offset import Judges
from aimaas.errors import KafkaError
from aimaas.fleet import FleetSpec
from aimaas.kafka import end_offsets, kafka_errors
from aimaas.kafka.failures import no_topic
from aimaas.kernel.features import Kernel
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.state.events_topic import EventsTopic, find_events_topic
from stream.state.log_reader import LogReader
from stream.state.partition import CLEAN, PartitionState, Records, records_of
from stream.state.records import REFUSALS, REPLAY_FROM, offset_of, packed_of
from stream.state.resume import Resumption, resume
from stream.state.saved import Saved, read_saved

log = logger("scorer.state")

_MARKERS_S = 90.0  # a killed scorer's transaction may block its records this long
_LOOK_S = 0.1

TakeUp = Callable[[Mapping[int, int]], Mapping[int, Judges]]  # returns the judges of partitions at these offsets


class Restored(NamedTuple):
    """Restored states by partition, and the cost: seconds, bytes read of the state topic, and re-read input."""

    states: dict[int, PartitionState]
    seconds: float = 0.0
    state_bytes: int = 0
    events: int = 0
    event_bytes: int = 0
    resumed: Mapping[int, Resumption] = {}


def restore(
    settings: Settings,
    fleet: FleetSpec,
    judge: Judge | TakeUp,
    kernel: Kernel,
    committed: Mapping[int, int | None],
    events_topic: EventsTopic | None = None,
) -> Restored:
    """Restore the state of each partition at its resume position (`resume`), from the state topic and the input log.

    Input is judged by the same rules as before: once the positions of the partitions are known, and before any record is
    judged, `judge` is called for the rules. A plain judge judges all.

    `committed` is the group's offset, or None. `events_topic` is looked up if it is not given.

    Raises StateError if the state cannot be restored, KafkaError if the broker does not answer.
    """
    if not committed:
        return Restored({})
    of = events_topic or find_events_topic(settings, fleet, datetime.now(UTC))
    names, started = topic_names(fleet), time.perf_counter()
    events = event_bytes = 0
    with kafka_errors(settings, f"restore state from {names.state}"), LogReader(settings, fleet) as reader:
        snapshots = {p: _from_snapshots(settings, reader, fleet, p, at, of) for p, at in committed.items()}
        judges = _judges(judge, {p: found.resumed.position for p, found in snapshots.items()})
        for p, messages in reader.read(names.events, {p: found.resumed.replay for p, found in snapshots.items()}):
            replayed = snapshots[p].replay.take(records_of(messages), judges[p], kernel)
            events, event_bytes = events + len(replayed), event_bytes + replayed.value_bytes
    for found in snapshots.values():
        found.state.position, found.state.credit_bytes = found.resumed.position, 0.0
    states = {p: found.state for p, found in snapshots.items()}
    state_bytes = sum(found.read_bytes for found in snapshots.values())
    resumed = {p: found.resumed for p, found in snapshots.items()}
    restored = Restored(states, time.perf_counter() - started, state_bytes, events, event_bytes, resumed)
    log.info(
        "state restored", partitions=sorted(committed), devices=sum(len(s.devices) for s in states.values()),
        state_bytes=state_bytes, replayed_events=events, replayed_bytes=event_bytes, seconds=round(restored.seconds, 3),
    )  # fmt: skip
    return restored


def _judges(judge: Judge | TakeUp, positions: Mapping[int, int]) -> Mapping[int, Judge | Judges]:
    return dict.fromkeys(positions, judge) if isinstance(judge, Judge) else judge(positions)


class _Snapshots(NamedTuple):
    """A partition's state from its snapshots; `replay` completes it with the input that `resumed` names."""

    state: PartitionState
    resumed: Resumption
    replay: Replay
    read_bytes: int


def _from_snapshots(
    settings: Settings,
    reader: LogReader,
    fleet: FleetSpec,
    partition: int,
    committed: int | None,
    of: EventsTopic,
) -> _Snapshots:
    """Build the state of one partition at a time: packed records take as much memory as the state."""
    saved = _read_whole(settings, reader, topic_names(fleet).state, partition, committed)
    where = f"{of.name}, partition {partition}"
    resumed = resume(where, saved, committed, reader.span(of.name, partition), of.id, of.first_id)
    upto = saved.upto()
    if resumed.left is not None:
        state = PartitionState.empty(fleet, partition, resumed.position)
        state.outdated, upto = [*saved.devices, REPLAY_FROM, REFUSALS], {}
    else:
        state = unpacked(fleet, partition, resumed.position, saved)
        state.written_position = CLEAN if saved.position is None else saved.position
    state.topic_id, state.saved_rules = of.id, saved.rules
    return _Snapshots(state, resumed, Replay(state, upto), saved.read_bytes)


def _read_whole(settings: Settings, reader: LogReader, topic: str, partition: int, committed: int | None) -> Saved:
    """Return the state topic's records of a partition.

    The marker of a transaction may arrive here later than at the group's offset. Then the records that were committed with
    the offset cannot be read yet. They are waited for while a transaction is open here. Without an open transaction, a
    person has set the offset.
    """
    limit, is_decided = time.monotonic() + _MARKERS_S, False
    while True:
        saved = read_saved(reader, topic, [partition])[partition]
        behind = saved.position is not None and committed is not None and saved.position < committed
        if is_decided or not behind or time.monotonic() > limit:
            return saved
        is_decided = end_offsets(settings, topic, "read_uncommitted")[partition] <= reader.span(topic, partition).end
        time.sleep(0.0 if is_decided else _LOOK_S)


def unpacked(fleet: FleetSpec, partition: int, committed: int, saved: Saved) -> PartitionState:
    """Return the state that the topic's records alone give. Removes each record from `saved`, so that memory does not hold both."""
    state, notes = PartitionState.empty(fleet, partition, committed), []
    for key in list(saved.devices):
        value = saved.devices.pop(key)
        packed = packed_of(value)
        if packed:
            state.devices.unpack(key.decode(), packed)
        else:
            notes.append((offset_of(value), key.decode()))
    state.forgotten = {device_id: upto for upto, device_id in sorted(notes)}
    state.refusals = saved.refusals
    state.written_replay_from = CLEAN if saved.replay_from is None else saved.replay_from
    return state


class Replay:
    """Puts re-read input into a partition's state, except events before their device's `upto`: the record covers them."""

    def __init__(self, state: PartitionState, upto: Mapping[bytes, int]) -> None:
        self._state, self._upto = state, upto
        self._settled = max(self._upto.values(), default=0)  # earlier evictions have notes

    def take(self, records: Records, judges: Judge | Judges, kernel: Kernel) -> Records:
        """Advance the state by the records that it lacks, which come in order; return these records."""
        upto, offsets = self._upto, records.offsets.tolist()
        lacking = [i for i, key in enumerate(records.keys) if offsets[i] >= upto.get(key or b"", 0)]
        taken = records.only(lacking)
        before = int(np.searchsorted(taken.offsets, self._settled))
        for part, forgets in ((range(before), False), (range(before, len(taken)), True)):
            if part:
                self._advance(taken.only(part), judges, kernel, forgets)
        return taken

    def _advance(self, records: Records, judges: Judge | Judges, kernel: Kernel, forgets: bool) -> None:
        for judge, stretch in judges.parts(records.offsets):
            self._state.advance(judge, kernel, records.only(range(len(records))[stretch]), forgets)


def check_partitions(settings: Settings, fleet: FleetSpec, found: Mapping[str, int]) -> None:
    """Raise KafkaError unless all keyed topics have the same number of partitions, with murmur2 the fleet file's."""
    names = topic_names(fleet)
    wanted = found.get(names.events, 0)
    written = (
        names.events,
        names.state,
        names.predictions,
        names.dead_letters,
        *([names.alerts] if fleet.rules else []),
    )
    for topic in written:
        if found.get(topic, 0) == 0:
            raise no_topic(settings, f"look for {topic}")
        if found[topic] != wanted:
            raise KafkaError(
                f"topic {topic} has {found[topic]} partitions, {names.events} has {wanted}: device state is kept by partition, so "
                "both need the same number; `aimaas topics grow` grows all topics, or finishes an interrupted growth"
            )
    if fleet.topics.partitioner == "murmur2" and wanted != fleet.topics.partitions:
        raise KafkaError(
            f"topic {names.events} has {wanted} partitions, but the fleet file says topics.partitions: {fleet.topics.partitions}, "
            f"which decides the partition of a device: set it to {wanted}, or add partitions with `aimaas topics grow`"
        )
