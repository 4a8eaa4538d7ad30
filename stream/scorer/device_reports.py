"""What is told of single devices that misbehave: a metric for each kind, and a log line now and then that names one."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aimaas.logs import logger
from stream.monitoring.metrics import ScorerMetrics
from stream.monitoring.seldom import Seldom

log = logger("scorer")

_PER_S = 60.0


class DeviceReports:
    """Tells of misbehaving devices. The loop's thread calls the methods."""

    def __init__(self, metrics: ScorerMetrics) -> None:
        self._metrics = metrics
        self._of_strays = Seldom(10, _PER_S)

    def strays(self, partition: int, leads_to: Mapping[str, int]) -> None:
        """New devices came to a partition that their keys do not lead to, where the fleet file allows any partitioner."""
        if not leads_to:
            return
        self._metrics.strays_found(len(leads_to))
        for device_id, there in leads_to.items():
            if self._of_strays.may_speak(time.monotonic()):
                log.warning(
                    "a device lies where its key does not lead: sent by two partitioners, it is scored as two devices",
                    device=device_id, partition=partition, leads_to=there,
                )  # fmt: skip
