"""The models topic: announcements of the model with the alias `champion`, which only the announcer writes.

Its one partition keeps every record, so that no later record can remove an announcement. The key is the alias, the value an
`Announcement`. Records with other keys are skipped, because older releases kept acceptances and refusals here.
"""

from __future__ import annotations

import msgspec

from aimaas.errors import AimaasError
from aimaas.fleet import FleetSpec
from aimaas.kafka import read_all
from aimaas.kafka.writing import write_records
from aimaas.logs import logger
from aimaas.records.events import CHAMPION, Announcement
from aimaas.registry.signatures import Verifier
from aimaas.settings import Settings
from aimaas.topics import topic_names

log = logger("models")

_decoder = msgspec.json.Decoder(Announcement)


class AnnouncementError(AimaasError):
    """A record on the models topic is no trusted announcement."""


def announcement_of(key: bytes | None, value: bytes | None, fleet: str, verifier: Verifier) -> Announcement | None:
    """Read the champion's announcement from a record; None for records of another kind.

    Raises AnnouncementError if it cannot be read, or if a key is set and it has no valid signature.
    """
    if key != CHAMPION.encode() or value is None:  # None: the alias was deleted, and the last champion still serves
        return None
    try:
        found = _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise AnnouncementError(f"it cannot be read: {str(e)[:200]}") from None
    if found.alias != CHAMPION:
        return None
    wrong = verifier.mistake_in(found, fleet)
    if wrong:
        raise AnnouncementError(wrong)
    return found


def announced(settings: Settings, fleet: FleetSpec) -> Announcement | None:
    """The newest trusted announcement with the highest sequence; None if there is none.

    Raises KafkaError.
    """
    topic, verifier, newest = topic_names(fleet).models, Verifier(settings), None
    for record in read_all(settings, topic):
        try:
            found = announcement_of(record.key, record.value, fleet.fleet, verifier)
        except AnnouncementError as e:
            log.debug("announcement passed over", topic=topic, offset=record.offset, reason=str(e))
            continue
        if found is not None and (newest is None or found.sequence >= newest.sequence):
            newest = found
    return newest


def write_announcement(settings: Settings, fleet: FleetSpec, announcement: Announcement) -> None:
    """Write an announcement; returns when the broker has it. Raises KafkaError."""
    topic = topic_names(fleet).models
    record = announcement.alias.encode(), msgspec.json.encode(announcement)
    write_records(settings, topic, [record], f"announce the champion on {topic}")
