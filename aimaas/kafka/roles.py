"""The rights that each role needs on a broker that denies by default: the table of `docs/reference/kafka-rights.md`.

Read, Write and Alter imply Describe. A role that writes a topic may use an idempotent producer there without a further right.
"""

from __future__ import annotations

from collections.abc import Callable

from aimaas.fleet import FleetSpec
from aimaas.kafka.rights import Right, in_group, on_topic
from aimaas.topics import (
    MODELS_GROUP,
    READER_GROUP,
    RESTORE_GROUP,
    forwarding_group,
    scorer_group,
    topic_names,
    topic_specs,
)

SPARK_GROUPS = "aimaas-spark"  # prefix of the group names that Spark generates; it joins no group, so it needs no right
Rights = tuple[Right, ...]


def _read(*topics: str) -> Rights:
    return tuple(on_topic("Read", topic) for topic in topics)


def _write(*topics: str) -> Rights:
    return tuple(on_topic("Write", topic) for topic in topics)


def _ask_settings(*topics: str) -> Rights:
    """The right to check the topic settings that promises depend on; without it a log line says that they were not checked."""
    return tuple(on_topic("DescribeConfigs", topic) for topic in topics)


def _transactions(name: str, prefixed: bool = False) -> Right:
    """The right of a transactional producer with this id, or with this prefix of its id."""
    return Right("transactional-id", name, "Write", prefixed)


def _keyed(fleet: FleetSpec) -> list[str]:
    """The topics whose records have a device as their key."""
    return [spec.name for spec in topic_specs(fleet) if spec.name not in topic_names(fleet).unkeyed]


def _creator(fleet: FleetSpec) -> Rights:
    names = [spec.name for spec in topic_specs(fleet)]
    return tuple(on_topic(operation, name) for name in names for operation in ("Create", "Describe", "DescribeConfigs"))


def _device(fleet: FleetSpec) -> Rights:
    return _write(topic_names(fleet).events)


def _gateway(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return _write(names.events, names.outcomes)


def _ingest(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (
        *_read(names.events, names.outcomes, names.journal),
        *_write(names.journal),
        *_ask_settings(names.events, names.outcomes),
        in_group(READER_GROUP),
    )


def _announcer(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (*_read(names.models), *_write(names.models), in_group(READER_GROUP))


def _scorer(fleet: FleetSpec) -> Rights:
    names, group = topic_names(fleet), scorer_group(fleet)
    used = (
        names.events, names.models, names.state, names.journal, names.predictions, names.alerts, names.dead_letters,
        names.model_status,
    )  # fmt: skip
    return (
        *_read(names.events, names.models, names.state, names.journal),
        *_write(names.predictions, names.alerts, names.dead_letters, names.state, names.journal, names.model_status),
        *_ask_settings(*used),
        *map(in_group, (group, MODELS_GROUP, READER_GROUP, RESTORE_GROUP)),
        _transactions(f"{group}-", prefixed=True),
    )


def _serve(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (*_read(names.models), *_write(names.model_status), *_ask_settings(names.models), in_group(MODELS_GROUP))


def _reader(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (*_read(names.predictions, names.alerts), in_group(READER_GROUP))


def _forwarder(fleet: FleetSpec) -> Rights:
    names, groups = topic_names(fleet), forwarding_group(fleet, "")
    return (
        *_read(names.alerts, names.state),
        Right("group", groups, "Read", True),
        *map(in_group, (READER_GROUP, RESTORE_GROUP)),
    )


def _operator(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (
        *_read(
            names.events,
            names.outcomes,
            names.predictions,
            names.alerts,
            names.dead_letters,
            names.model_status,
            names.state,
            names.journal,
        ),
        *map(in_group, (READER_GROUP, RESTORE_GROUP)),
    )


def _replay(fleet: FleetSpec) -> Rights:
    names = topic_names(fleet)
    return (
        *_read(names.events, names.predictions, names.dead_letters, names.state, names.models, names.journal),
        *_write(names.events, names.predictions, names.journal),
        *map(in_group, (MODELS_GROUP, READER_GROUP, RESTORE_GROUP)),
        _transactions(f"{scorer_group(fleet)}-dlq"),
    )


def _forget(fleet: FleetSpec) -> Rights:
    names, group = topic_names(fleet), scorer_group(fleet)
    keyed = _keyed(fleet)
    return (
        *_read(names.events, names.outcomes, names.state, names.journal),
        *_write(names.state, names.journal, names.alerts),
        *(on_topic(operation, name) for name in keyed for operation in ("Describe", "DescribeConfigs")),
        *map(in_group, (group, READER_GROUP, RESTORE_GROUP)),
        _transactions(f"{group}-forget"),
    )


def _grower(fleet: FleetSpec) -> Rights:
    names, group, keyed = topic_names(fleet), scorer_group(fleet), _keyed(fleet)
    return (
        *_read(names.events, names.state, names.journal),
        *_write(names.state, names.journal),
        *(on_topic("Alter", name) for name in keyed),
        *map(in_group, (group, READER_GROUP, RESTORE_GROUP)),
        _transactions(f"{group}-grow"),
    )


def _airflow(fleet: FleetSpec) -> Rights:
    return (*_read(topic_names(fleet).outcomes), in_group("aimaas-airflow"))


_ROLES: dict[str, Callable[[FleetSpec], Rights]] = {
    "creator": _creator,
    "device": _device,
    "gateway": _gateway,
    "ingest": _ingest,
    "announcer": _announcer,
    "scorer": _scorer,
    "serve": _serve,
    "reader": _reader,
    "forwarder": _forwarder,
    "operator": _operator,
    "replay": _replay,
    "forget": _forget,
    "grow": _grower,
    "airflow": _airflow,
}
ROLES = tuple(_ROLES)


def rights_of(role: str, fleet: FleetSpec) -> Rights:
    """The rights that a user of this role needs for this fleet, and no more."""
    return _ROLES[role](fleet)
