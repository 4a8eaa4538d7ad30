"""The models topic: which model an alias means (written by the announcer), which was accepted, and who refused one (by scorers).

One partition, compacted. Key alias, value an `Announcement`; key `accepted/champion`, value the announcement of the newest champion
that any scorer serves, which compaction would drop once a later one is announced, though that may be refused; key
`refused/<version>/<instance>`, value a `ModelRefusal`.
"""

from __future__ import annotations

import msgspec
from confluent_kafka import Producer

from aimaas.errors import KafkaError
from aimaas.events import CHAMPION, Announcement, ModelRefusal
from aimaas.fleet import FleetSpec
from aimaas.kafka import ANSWER_LIMIT_S, kafka_errors, producer_config, read_all
from aimaas.logs import logger
from aimaas.settings import Settings
from aimaas.topics import topic_names

_ACCEPTED = f"accepted/{CHAMPION}"
_REFUSED = "refused/"

log = logger("models")


def is_refusal(key: bytes | None) -> bool:
    """Whether the record of this key is a refusal."""
    return key is not None and key.startswith(_REFUSED.encode())


def is_acceptance(key: bytes | None) -> bool:
    """Whether the record of this key says which champion was accepted."""
    return key == _ACCEPTED.encode()


def announced(settings: Settings, fleet: FleetSpec) -> Announcement | None:
    """The newest announcement of the champion; None where there is none, or none that can be read. Raises KafkaError."""
    topic = topic_names(fleet).models
    values = [r.value for r in read_all(settings, topic) if r.key == CHAMPION.encode() and r.value is not None]
    try:
        return msgspec.json.decode(values[-1], type=Announcement) if values else None
    except msgspec.MsgspecError as e:
        log.error("announcement cannot be read", topic=topic, error=str(e))
        return None


def refusals(settings: Settings, fleet: FleetSpec) -> list[ModelRefusal]:
    """The newest refusal of each version by each scorer, oldest first. Raises KafkaError."""
    newest = {r.key: r.value for r in read_all(settings, topic_names(fleet).models) if is_refusal(r.key)}
    found = [msgspec.json.decode(value, type=ModelRefusal) for value in newest.values() if value]
    return sorted(found, key=lambda refusal: refusal.at)


def write_announcement(settings: Settings, fleet: FleetSpec, announcement: Announcement) -> None:
    """Announce; returns when the broker has it. Raises KafkaError."""
    _write(settings, topic_names(fleet).models, announcement.alias, announcement, "announce the champion")


def write_accepted(settings: Settings, fleet: FleetSpec, announcement: Announcement) -> None:
    """Say which announced champion serves; returns when the broker has it. Raises KafkaError."""
    _write(settings, topic_names(fleet).models, _ACCEPTED, announcement, "keep the accepted champion")


def write_refusal(settings: Settings, fleet: FleetSpec, refusal: ModelRefusal) -> None:
    """Say who refused which version and why; returns when the broker has it. Raises KafkaError."""
    key = f"{_REFUSED}{refusal.version}/{refusal.instance}"
    _write(settings, topic_names(fleet).models, key, refusal, "report a refused model")


def _write(settings: Settings, topic: str, key: str, value: msgspec.Struct, doing: str) -> None:
    failed: list[str] = []
    with kafka_errors(settings, f"{doing} on {topic}"):
        producer = Producer(producer_config(settings, message_timeout_ms=int(ANSWER_LIMIT_S * 1_000)))
        producer.produce(
            topic, msgspec.json.encode(value), key.encode(),
            on_delivery=lambda error, message: failed.append(error.str()) if error else None,
        )  # fmt: skip
        left = producer.flush(ANSWER_LIMIT_S + 5)
    if failed or left:
        raise KafkaError(f"{doing}: it did not reach {topic}: {failed[0] if failed else 'no answer in time'}")
