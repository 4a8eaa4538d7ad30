"""The announcer: brings the models topic in line with the registry's alias, and may run any number of times."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlparse

from aimaas.errors import AimaasError, KafkaError, KafkaLastingError, RegistryError
from aimaas.fleet import FleetSpec
from aimaas.kafka.outage import outage_of
from aimaas.kafka.tools import tool_command
from aimaas.logs import logger
from aimaas.records.events import CHAMPION, MAX_SEQUENCE, Announcement
from aimaas.registry.announcements import announced, write_announcement
from aimaas.registry.signatures import signed
from aimaas.registry.versions import Champion, show_model, sync_champion
from aimaas.settings import Settings
from aimaas.topics import topic_names

WATCH_S = 5.0

log = logger("announcer")


def announce(settings: Settings, fleet: FleetSpec) -> Announcement | None:
    """Announce the champion unless the topic's newest announcement is the same; None if there is no champion.

    Raises RegistryError or KafkaError.
    """
    champion = sync_champion(settings, fleet)
    if champion is None:
        return None
    said = announced(settings, fleet)
    wanted = _announcement(settings, fleet, champion)
    if said is not None and said.sequence >= wanted.sequence and said != wanted:
        wanted = _announcement(settings, fleet, _risen(settings, fleet, said))
    if said != wanted:
        write_announcement(settings, fleet, wanted)
    return wanted


def _risen(settings: Settings, fleet: FleetSpec, said: Announcement) -> Champion:
    """Return the champion with a sequence above the topic's, because scorers follow only rising ones.

    The topic's sequence may come from an earlier registry.
    """
    if said.sequence >= MAX_SEQUENCE:
        topic = topic_names(fleet).models
        delete = tool_command(settings.kafka, "kafka-delete-records", "--offset-json-file /dev/stdin")
        all_records = {"partitions": [{"topic": topic, "partition": 0, "offset": -1}], "version": 1}
        raise KafkaError(
            f"{topic}: the announcement of version {said.version} has the highest possible sequence, so no announcement can follow "
            f"it: somebody else wrote it. Delete the topic's records: `echo '{json.dumps(all_records)}' | {delete}`, and sign "
            "announcements: `aimaas models keys`"
        )
    risen = sync_champion(settings, fleet, above=said.sequence)
    if risen is None:
        raise RegistryError(f"the champion of {fleet.fleet} was removed meanwhile: promote a version")
    return risen


def announce_forever(settings: Settings, fleet: FleetSpec, stop: threading.Event | None = None) -> None:
    """Announce every few seconds until `stop` is set or the process is interrupted.

    An error is logged once, and the announcer tries again; KafkaLastingError, which waiting does not fix, is raised.
    """
    stop, last, said = stop or threading.Event(), None, ""
    with suppress(KeyboardInterrupt):
        while outage_of(settings).wait(stop.wait, f"announce the champion of fleet {fleet.fleet}"):
            try:
                found, error = announce(settings, fleet), ""
                if found != last and found is not None:
                    log.info("champion announced", fleet=fleet.fleet, version=found.version, sequence=found.sequence)
                last = found
            except KafkaLastingError:
                raise
            except AimaasError as e:
                error = str(e)
            if error and error != said:
                log.error("not announced", fleet=fleet.fleet, error=error)
            said = error
            if stop.wait(WATCH_S):
                return


def _announcement(settings: Settings, fleet: FleetSpec, champion: Champion) -> Announcement:
    shown = show_model(settings, fleet, champion.version)
    made = Announcement(
        alias=CHAMPION, version=champion.version, sequence=champion.sequence, uri=_plain(str(shown["uri"])),
        sha256=shown["sha256"], plan=shown["plan"], fit=shown["fit"], at=champion.at,
    )  # fmt: skip
    return signed(made, fleet.fleet, settings)


def _plain(uri: str) -> str:
    """Return a local file as an absolute path; other addresses unchanged."""
    parts = urlparse(uri)
    if parts.scheme == "file":
        return str(Path(unquote(parts.path)).absolute())
    return uri if parts.scheme else str(Path(uri).absolute())
