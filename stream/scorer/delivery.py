"""Which outbox the delivery that was asked for takes."""

from __future__ import annotations

from typing import Any

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from stream.scorer.acknowledged import Acknowledged
from stream.scorer.options import ScorerOptions
from stream.scorer.outbox import Outbox
from stream.scorer.transaction import Transactions


def open_outbox(
    settings: Settings, fleet: FleetSpec, options: ScorerOptions, consumer: Any, transactional_id: str
) -> Outbox:
    """The outbox for `options.delivery`; its producer takes the largest record that any of the fleet's topics does."""
    largest = max(int(spec.config.get("max.message.bytes", 0)) for spec in topic_specs(fleet))
    if options.delivery == "at-least-once":
        return Acknowledged(settings, consumer, largest)
    return Transactions(settings, transactional_id, options.transaction_timeout_ms, largest)
