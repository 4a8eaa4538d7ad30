"""The assignment of a consumer group, as the broker reports it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.kafka import admin
from aimaas.settings import Settings
from stream_bench.contenders import Contender, ContenderError

_LOOK_S = 0.1
_ANSWER_S = 5.0
# no member yet; coordinators are being elected
_NOT_YET = (
    ClientError.GROUP_ID_NOT_FOUND,
    ClientError.NOT_COORDINATOR,
    ClientError.COORDINATOR_LOAD_IN_PROGRESS,
    ClientError._TIMED_OUT,
)
_STEADY_S = 1.0  # balanced for this long: cooperative rebalances take two rounds


def shares(settings: Settings, group: str) -> list[int]:
    """Return the partitions of each member, most first; empty while the group does not exist or is in a rebalance."""
    client = admin(settings)
    try:
        asked = client.describe_consumer_groups([group], request_timeout=_ANSWER_S)
        found = asked[group].result(2 * _ANSWER_S)
    except KafkaException as e:
        if not (e.args[0].retriable() or e.args[0].code() in _NOT_YET):
            raise
        return []
    if found.state.name != "STABLE":
        return []
    return sorted((len(member.assignment.topic_partitions) for member in found.members), reverse=True)


def wait_for_shares(
    settings: Settings, group: str, wanted: Sequence[int], contenders: Sequence[Contender], limit_s: float = 90.0
) -> None:
    """Wait until the members have these numbers of partitions and keep them for a moment."""
    limit, since, found = time.monotonic() + limit_s, 0.0, list(wanted)
    while not since or time.monotonic() - since < _STEADY_S:
        for contender in contenders:
            contender.check()
        found = shares(settings, group)
        since = 0.0 if found != list(wanted) else since or time.monotonic()
        if time.monotonic() > limit:
            raise ContenderError(f"group {group} has shares {found}, not {list(wanted)}, after {limit_s:g} s")
        time.sleep(_LOOK_S)
