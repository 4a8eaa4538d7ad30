"""Reports on misbehaving devices: a metric for each kind, and an occasional log line that names one device."""

from __future__ import annotations

import time
from collections.abc import Mapping

from aimaas.logs import logger
from stream.monitoring.metrics import ScorerMetrics
from stream.monitoring.seldom import Seldom
from stream.state.refusal_limit import Flood

log = logger("scorer")

_PER_S = 60.0


class DeviceReports:
    """Reports misbehaving devices. The loop's thread calls the methods."""

    def __init__(self, metrics: ScorerMetrics) -> None:
        self._metrics = metrics
        self._of_strays = Seldom(10, _PER_S)
        self._of_floods = Seldom(1, _PER_S)

    def strays(self, partition: int, leads_to: Mapping[str, int]) -> None:
        """Report new devices in a partition that their keys do not map to, in a fleet that allows any partitioner."""
        if not leads_to:
            return
        self._metrics.strays.inc(len(leads_to))
        for device_id, there in leads_to.items():
            if self._of_strays.may_speak(time.monotonic()):
                log.warning(
                    "a device lies where its key does not lead: sent by two partitioners, it is scored as two devices",
                    device=device_id, partition=partition, leads_to=there,
                )  # fmt: skip

    def flood(self, flood: Flood | None) -> None:
        """Report that few devices exceed the limit on refused records while the scorer goes on.

        None: this batch has no such devices.
        """
        self._metrics.floods.inc(flood is not None)
        if flood is not None and self._of_floods.may_speak(time.monotonic()):
            log.warning(
                "few devices have most of their records refused: scoring continues",
                device=flood.key[:128].decode("utf-8", "backslashreplace"), its_refused=flood.heaviest, refused=flood.refused,
                judged=flood.judged,
            )  # fmt: skip
