"""`aimaas dlq replay`: sends dead letters to the stream or scores them in batches, so that every event gets one prediction.

The order matters:

1. take the transactional id over, so that no other replay writes, and all committed records can be read;
2. read from the topics which letters were replayed and predicted; 3. decide; 4. write, in the order of each device, in
transactions.
A crash leaves only whole transactions; the next run finds them in step 2.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from aimaas.admission.judge import Judge
from aimaas.errors import KafkaError, SettingsError
from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.topics import topic_names
from stream.model.load import Model
from stream.model.watch import ModelWatcher
from stream.records.dead_letters import REPLAY_MAC, REPLAY_OF, replay_headers
from stream.records.exclusive_writer import ExclusiveWriter, Write
from upkeep.dead_letters.backfill import backfill, by_device
from upkeep.dead_letters.decisions import Action, Replayed, Served, judged_now, place, served_of, why_left, why_unknown
from upkeep.dead_letters.letters import Letter
from upkeep.dead_letters.log import Account, DeviceLog, Event, events_of, read_account, read_device_log, read_newest

CHUNK = 500  # letters in one transaction
_MODEL_S = 120.0


def replay_letters(
    settings: Settings, fleet: FleetSpec, letters: Sequence[Letter], wanted: Sequence[Letter], chunk: int = CHUNK
) -> list[Replayed]:
    """Replay the `wanted` of all `letters` of the fleet; return the result of each, in their order.

    Raises SettingsError without a key for the copies' headers, and KafkaError.
    """
    secret = _replay_key(settings)
    if not wanted:
        return []
    with ExclusiveWriter(settings, fleet, "dlq", "replay dead letters") as writer:
        account = read_account(settings, fleet, min(letter.at_ms for letter in wanted))
        decided, log = _decide(settings, fleet, letters, wanted, account)
        done, writes = _carry_out(settings, fleet, decided, log, secret)
        for begin in range(0, len(writes), chunk):
            writer.write(writes[begin : begin + chunk])
    places = {letter.source: i for i, letter in enumerate(wanted)}
    return sorted(done, key=lambda d: places[d.letter.source])


def _replay_key(settings: Settings) -> str:
    if settings.replay_key is None:
        raise SettingsError(
            "AIMAAS_REPLAY_KEY is not set: without a key, a scorer treats a copy as a new event; "
            "give this command and every scorer the same key (`openssl rand -hex 32` makes one; `aimaas up` does it by itself)"
        )
    return settings.replay_key


def _decide(
    settings: Settings, fleet: FleetSpec, letters: Sequence[Letter], wanted: Sequence[Letter], account: Account
) -> tuple[list[Replayed], DeviceLog]:
    """Decide the action for each letter; also return the log of the devices whose letters are replayed."""
    judge, now_ms = Judge(fleet), int(time.time() * 1e3)
    refused = {letter.source for letter in letters}
    not_admitted = {letter.source for letter in letters if not letter.was_admitted}
    left: list[Replayed] = []
    candidates: list[tuple[Letter, Event]] = []
    for letter in wanted:
        found = why_left(letter, refused, account) or judged_now(judge, letter, now_ms)
        if not isinstance(found, str):
            found = why_unknown(letter, account) or found
        if isinstance(found, str):
            left.append(Replayed(letter, Action.LEFT, found))
        else:
            candidates.append((letter, found))
    if not candidates:
        return left, DeviceLog({}, True)
    log = read_device_log(settings, fleet, {letter.key or b"" for letter, _ in candidates})
    served = {
        event.device_id: served_of(sent, events_of(judge, sent), not_admitted, account)
        for letter, event in candidates
        for sent in [log.sent.get(letter.key or b"", [])]
    }
    if not log.complete:
        _add_snapshots(settings, fleet, served)
    return left + place(fleet, candidates, served), log


def _add_snapshots(settings: Settings, fleet: FleetSpec, served: dict[str, Served]) -> None:
    """Add the newest event from the scorer's snapshot for each device without records in the log."""
    unknown = {device.encode() for device, known in served.items() if known.newest is None}
    if unknown:
        for key, newest in read_newest(settings, fleet, unknown).items():
            served[key.decode()].newest = newest


def _carry_out(
    settings: Settings, fleet: FleetSpec, decided: Sequence[Replayed], log: DeviceLog, secret: str
) -> tuple[list[Replayed], list[Write]]:
    """Return the final results, and the records to write."""
    names, now = topic_names(fleet), datetime.now(UTC)
    by_batch = [r for r in decided if r.action == Action.BACKFILL]
    done = [r for r in decided if r.action != Action.BACKFILL]
    writes = [_copy(names.events, r.letter, secret) for r in done if r.action == Action.STREAM]
    if by_batch:
        judge, model = Judge(fleet), _champion(settings, fleet)
        for key, mine in by_device(by_batch).items():
            for replayed, prediction in backfill(judge, model, log.sent.get(key, []), log.complete, mine, now):
                done.append(replayed)
                if prediction is not None:
                    headers = [(name, text.encode()) for name, text in prediction.headers]
                    writes.append(Write(names.predictions, prediction.key, prediction.value, headers))
    return done, writes


def _copy(topic: str, letter: Letter, secret: str) -> Write:
    """Return the record as the device sent it, with the original's coordinates."""
    kept = [h for h in letter.headers if h[0] not in (REPLAY_OF, REPLAY_MAC)]
    proven = replay_headers(secret, letter.origin, letter.key, letter.value)
    return Write(topic, letter.key, letter.value, [*kept, *proven])


def _champion(settings: Settings, fleet: FleetSpec) -> Model:
    """Return the model that the scorer would serve now. Raises KafkaError if there is none."""
    watcher = ModelWatcher(settings, fleet, None)
    watcher.start()
    try:
        if not watcher.wait_for_end(_MODEL_S):
            raise KafkaError(
                f"read {topic_names(fleet).models}: the end was not reached within {_MODEL_S:g} s; look into the broker's log"
            )
        model = watcher.newest()
    finally:
        watcher.stop()
    if model is None:
        raise KafkaError(
            f"fleet {fleet.fleet} has no champion that can serve, and these letters need one: promote a model, then replay again"
        )
    return model
