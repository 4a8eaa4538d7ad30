"""Opens the bytes of an announced model, with the same checks in the trial and in the scorer."""

from __future__ import annotations

from pathlib import Path

from aimaas.errors import ModelRefusedError
from aimaas.fleet import FleetSpec
from aimaas.kernel.plan import plan_of
from aimaas.kernel.state import DeviceState
from aimaas.kernel.widening import lacks
from aimaas.model.artefact import ModelMetadata
from aimaas.model.loaded import OpenModel, open_model, read_metadata
from aimaas.records.events import Announcement


def open_announced(content: bytes, announcement: Announcement, fleet: FleetSpec, cache: Path, where: str) -> OpenModel:
    """Check, open and warm up the model whose bytes have the announced digest. Raises ModelRefusedError for any bytes that fail.

    `cache` is a folder for optimised graphs.
    """
    try:
        metadata = read_metadata(content, where)
        _check_metadata(metadata, announcement, fleet, where)
        return open_model(content, announcement.version, metadata, plan_of(fleet), cache, where)
    except ModelRefusedError:
        raise
    except Exception as e:  # noqa: BLE001 - others wrote these bytes, so any error in them is a reason to refuse
        said = (str(e).strip().splitlines() or [""])[0][:200]
        raise ModelRefusedError(f"{where}: cannot be opened ({type(e).__name__}: {said}); export it again") from None


def _check_metadata(metadata: ModelMetadata, announcement: Announcement, fleet: FleetSpec, where: str) -> None:
    plan, fit, state = metadata.plan.hash, metadata.fit.id, DeviceState.of(fleet)
    if metadata.fleet != fleet.fleet:
        raise ModelRefusedError(
            f"{where}: trained for fleet {metadata.fleet[:80]!r}, not {fleet.fleet!r}; promote a version of this fleet"
        )
    if (plan, fit) != (announcement.plan, announcement.fit):
        raise ModelRefusedError(
            f"{where}: has plan {plan} and fit {fit}, the announced ones are {announcement.plan} and {announcement.fit}; "
            "register and announce it again"
        )
    missing = lacks(metadata.plan, plan_of(fleet)) or metadata.plan.needs(
        metadata.plan.readings, state.window, state.first_rows
    )
    if missing:
        raise ModelRefusedError(
            f"{where}: {missing}; train it again, or start with the fleet file that it was trained with"
        )
