"""The AsyncAPI 3 document of a fleet: its topics, their senders and receivers, and the schemas of the records.

https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

from aimaas.fleet import FleetSpec
from aimaas.topics import TopicSpec, topic_specs
from stream.schemas.structs import Schema
from stream.schemas.topics import Contract, contracts

_BINDING = "0.5.0"  # of the Kafka bindings: https://github.com/asyncapi/bindings/tree/master/kafka


def asyncapi(fleet: FleetSpec) -> Schema:
    """Return the document. Operations are from aimaas's side: it receives events and outcomes, and sends the rest."""
    found, specs = contracts(fleet), {spec.name: spec for spec in topic_specs(fleet)}
    written = [contract for contract in found if contract.direction is not None]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Topics of fleet {fleet.fleet}",
            "version": str(fleet.version),
            "description": _description(fleet),
        },
        "defaultContentType": "application/json",
        "channels": {contract.kind: _channel(contract, specs[contract.topic]) for contract in found},
        "operations": {f"{c.direction}_{c.kind}": _operation(c) for c in written},
        "components": {"messages": {c.kind: _message(c) for c in written}},
    }


def _description(fleet: FleetSpec) -> str:
    read = "Read with isolation.level=read_committed: what an aborted transaction left is no record."
    return f"{fleet.description}\n\n{read}".strip()


def _channel(contract: Contract, spec: TopicSpec) -> Schema:
    messages = {contract.kind: {"$ref": f"#/components/messages/{contract.kind}"}} if contract.direction else {}
    kafka = {
        "topic": spec.name,
        "partitions": spec.partitions,
        "replicas": spec.replication,
        "bindingVersion": _BINDING,
    }
    return {
        "address": contract.topic,
        "description": contract.summary,
        "messages": messages,
        "bindings": {"kafka": kafka},
    }


def _operation(contract: Contract) -> Schema:
    channel = f"#/channels/{contract.kind}"
    return {
        "action": contract.direction,
        "channel": {"$ref": channel},
        "summary": contract.summary,
        "messages": [{"$ref": f"{channel}/messages/{contract.kind}"}],
    }


def _message(contract: Contract) -> Schema:
    made: Schema = {"name": contract.kind, "summary": contract.summary}
    if contract.payload is None:
        made["contentType"] = "application/octet-stream"
    else:
        made["payload"] = contract.payload
    if contract.headers is not None:
        made["headers"] = contract.headers
    if contract.key is not None:
        made["bindings"] = {"kafka": {"key": contract.key, "bindingVersion": _BINDING}}
    return made
