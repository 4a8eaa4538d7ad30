"""Opens the transactions of a scorer."""

from __future__ import annotations

from collections.abc import Callable

from aimaas.fleet import FleetSpec
from aimaas.kafka.roles import rights_of
from aimaas.settings import Settings
from aimaas.topics import topic_specs
from stream.scorer.options import ScorerOptions
from stream.scorer.output.transaction import Transactions

# The broker writes a transaction's end for some 4 ms. If the next transaction begins sooner, the client backs off for 20 ms.
# That is most of a short commit interval, and negligible in a long one, where the records wait beside the work.
_PAUSE_S = 0.004
_SHORT_MS = 50


def open_transactions(
    settings: Settings,
    fleet: FleetSpec,
    options: ScorerOptions,
    transactional_id: str,
    fenced_by: Callable[[], str],
) -> Transactions:
    """Return a producer that accepts the largest record that any of the fleet's topics accepts.

    `fenced_by` says which member has the scorer's name in its group.
    """
    largest = max(int(spec.config.get("max.message.bytes", 0)) for spec in topic_specs(fleet))
    pause_s = _PAUSE_S if options.commit_interval_ms < _SHORT_MS else 0.0
    timeout_ms, rights = options.transaction_timeout_ms, rights_of("scorer", fleet)
    return Transactions(settings, transactional_id, timeout_ms, largest, pause_s, fenced_by, rights)
