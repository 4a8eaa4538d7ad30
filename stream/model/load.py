"""Loads announced models: fetches an artefact, compares it with its announcement, tries and opens it, or refuses it with a reason.

The checks, in this order: the place, the SHA-256 of the bytes, a trial in a child process, and in this process all checks
of the trial again (`stream.model.opening`). Bytes are not fetched if this machine has a copy.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from aimaas.fleet import FleetSpec
from aimaas.model.artefact import sha256
from aimaas.model.loaded import OpenModel
from aimaas.records.events import Announcement
from aimaas.settings import Settings
from stream.model.child import StoppedError
from stream.model.copies import Copies
from stream.model.fetch import ArtefactUnreachableError, fetch_artefact
from stream.model.opening import open_announced
from stream.model.store import check_place
from stream.model.trial import LIMIT_S, try_out

__all__ = ["ArtefactUnreachableError", "Model", "TornArtefactError", "load_model"]


@dataclass(frozen=True, kw_only=True)
class Model(OpenModel):
    """One announced model version that is ready to serve."""

    sequence: int
    promoted_at: datetime
    sha256: str  # of the artefact


class TornArtefactError(ArtefactUnreachableError):
    """The file is not the announced file; a person may correct it."""

    state = "refused"


def load_model(
    announcement: Announcement,
    fleet: FleetSpec,
    settings: Settings,
    limit_s: float = LIMIT_S,
    stop: threading.Event | None = None,
) -> Model:
    """Find, check and warm up the announced model. Raises ModelRefusedError with the version and the reason.

    Its subclass ArtefactUnreachableError means that a later attempt may succeed. Fetch and trial may take `limit_s` each;
    both end early, with an ArtefactUnreachableError, once `stop` is set.
    """
    uri = announcement.uri if announcement.uri.isprintable() else repr(announcement.uri)  # it is part of log lines
    where = f"model {fleet.fleet} version {announcement.version} at {uri}"
    check_place(announcement.uri, settings, where)
    copies = Copies(settings, fleet)
    try:
        content = copies.content(announcement.sha256) or _fetched(announcement, where, settings, limit_s, stop)
        try_out(content, announcement, fleet, copies, where, limit_s, stop)
    except StoppedError:
        raise ArtefactUnreachableError(f"{where}: not loaded, because this process is stopping") from None
    opened = open_announced(content, announcement, fleet, copies.sessions, where)
    copies.keep(announcement, content)
    return Model(
        **vars(opened), sequence=announcement.sequence, promoted_at=announcement.at, sha256=announcement.sha256
    )


def _fetched(
    announcement: Announcement, where: str, settings: Settings, limit_s: float, stop: threading.Event | None
) -> bytes:
    content = fetch_artefact(announcement.uri, where, settings, limit_s, stop)
    if sha256(content) != announcement.sha256:
        raise TornArtefactError(
            f"{where}: its SHA-256 is {sha256(content)[:16]}…, the announced one is {announcement.sha256[:16]}…: "
            "the file is torn or was replaced; it will be tried again: restore the file, or promote another version"
        )
    return content
