"""Explains errors of Kafka's clients in one line: the operation, the fault, and the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from aimaas.errors import KafkaError, KafkaLastingError
from aimaas.kafka.connection import Cause, lasting_cause, plain, why_unreachable
from aimaas.kafka.granted import lacking
from aimaas.kafka.rights import Right, user_of
from aimaas.kafka.tools import is_secured
from aimaas.settings import Settings

PROBE_S = 3.0  # to find out why a call timed out
UNREACHABLE = {
    ClientError._TRANSPORT,
    ClientError._ALL_BROKERS_DOWN,
    ClientError._TIMED_OUT,
    ClientError._TIMED_OUT_QUEUE,
    ClientError._RESOLVE,
    ClientError._MSG_TIMED_OUT,
    ClientError.REQUEST_TIMED_OUT,
}
FENCED = {  # another process has taken the transactional id, or the member's place in the group
    ClientError._FENCED,
    ClientError.INVALID_PRODUCER_EPOCH,
    ClientError.PRODUCER_FENCED,
    ClientError.FENCED_INSTANCE_ID,
}
_DENIED = {
    ClientError.TOPIC_AUTHORIZATION_FAILED: "topic",
    ClientError.GROUP_AUTHORIZATION_FAILED: "group",
    ClientError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "transactional-id",
    ClientError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}
_GONE = "the log no longer has the requested offsets: retention deleted them, or the topic was created again; run this again"
OPTIONAL = {"DescribeConfigs"}  # work continues without it, unless it is the only right asked for
_NO_TOPIC = {ClientError.UNKNOWN_TOPIC_OR_PART, ClientError._UNKNOWN_TOPIC}


def is_denied(error: Any) -> bool:
    """Whether the broker's ACLs refuse a client's request."""
    return error.code() in _DENIED


@contextmanager
def kafka_errors(settings: Settings, doing: str, *rights: Right, fenced: str = "") -> Iterator[None]:
    """Turn an error of confluent-kafka into a KafkaError that names the operation, the place, and the remedy.

    `rights` are the rights that the operation needs; the error of a refusal names those of the refused kind. `fenced` names the
    process that fenced the client, and the remedy.
    """
    try:
        yield
    except KafkaException as e:
        raise explained(settings, doing, e.args[0], *rights, fenced=fenced) from None
    except TimeoutError:  # the wait ended a moment before the client's own timeout
        raise explained(settings, doing, ClientError(ClientError._TIMED_OUT), *rights) from None
    except SystemError as e:  # a fatal error, raised inside one of our callbacks
        if not isinstance(e.__cause__, KafkaException):
            raise
        raise explained(settings, doing, e.__cause__.args[0], *rights, fenced=fenced) from None


def explained(settings: Settings, doing: str, error: Any, *rights: Right, fenced: str = "") -> KafkaError:
    """A client's error as a KafkaError. A timeout has no cause, so this connects to the cluster for some seconds to find it."""
    code, where = error.code(), settings.bootstrap_servers
    if code in _DENIED:
        return denied(settings, doing, _DENIED[code], plain(error.str()), rights)
    if code in _NO_TOPIC:
        return no_topic(settings, doing)
    lasting = lasting_cause(settings.kafka, code, plain(error.str()))
    if lasting is not None:
        return unreachable(settings, doing, Cause(lasting, lasts=True))
    if code in UNREACHABLE:
        cause = why_unreachable(settings.kafka, PROBE_S)
        if cause is not None:
            return unreachable(settings, doing, cause)
        return KafkaError(f"{doing}: {where} answers, but not in time ({plain(error.str())}); try again")
    if code in FENCED and fenced:
        said = f"{fenced}; nothing is lost"
    elif code == ClientError._AUTO_OFFSET_RESET:
        said = _GONE
    else:
        said = f"the broker at {where} says: {error.str()}"
    return KafkaError(f"{doing}: {said}")


def unreachable(settings: Settings, doing: str, cause: Cause) -> KafkaError:
    """The error of a cluster that cannot be reached."""
    where = settings.bootstrap_servers
    if cause.lasts:
        return KafkaLastingError(f"{doing}: no connection to {where}: {cause.text}")
    return KafkaError(
        f"{doing}: no broker answers ({cause.text}) at {where}; start one with `aimaas up`, or set AIMAAS_KAFKA_BOOTSTRAP_SERVERS"
    )


def no_topic(settings: Settings, doing: str) -> KafkaError:
    """The error of a topic that does not exist. A list of all topics lacks those that the user may not Describe."""
    hidden = f", or let {user_of(settings.kafka)} Describe them if they are there" if is_secured(settings.kafka) else ""
    return KafkaLastingError(
        f"{doing}: no such topic at {settings.bootstrap_servers}; create the fleet's topics with `aimaas topics create`{hidden}"
    )


def check_granted(settings: Settings, doing: str, *rights: Right) -> None:
    """Raise KafkaLastingError if the ACLs lack one of these rights to topics or groups; no check for a cluster without users."""
    if not is_secured(settings.kafka):
        return
    wanting = lacking(settings.kafka, [right for right in rights if right.operation not in OPTIONAL])
    if wanting:
        raise denied(settings, doing, wanting[0].kind, "", tuple(wanting))


def denied(settings: Settings, doing: str, kind: str, said: str, rights: tuple[Right, ...]) -> KafkaError:
    """The error of missing rights."""
    user = user_of(settings.kafka)
    if kind == "cluster" and not any(
        r.kind == kind for r in rights
    ):  # an idempotent producer needs Write on some topic
        kind, said = "topic", ""
    wanted = [r for r in rights if r.kind == kind and (kind == "cluster" or r.name in said)]
    wanted = wanted or [r for r in rights if r.kind == kind]
    wanted = [r for r in wanted if r.operation not in OPTIONAL] or wanted
    if len(wanted) > 1:
        wanted = lacking(settings.kafka, wanted) or wanted
    if not wanted:
        return KafkaLastingError(f"{doing}: the ACLs of {settings.bootstrap_servers} do not allow it to {user}: {said}")
    return KafkaLastingError(
        f"{doing}: the ACLs of {settings.bootstrap_servers} do not grant {user}: {' and '.join(map(str, wanted))}; grant it: "
        f"`{'; '.join(r.command(user, settings.kafka) for r in wanted)}`"
    )
