from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from aimaas.fleet import FleetSpec
from aimaas.settings import Settings
from aimaas.training.folders import training_folder
from aimaas.training.last_refusal import Refused, attempt_of, forget_refused, last_refused, note_refused
from tests.models.conftest import pump_fleet


def test_the_last_refusal_is_remembered_until_a_training_is_not_refused(offline_settings: Settings) -> None:
    fleet = pump_fleet()
    assert last_refused(offline_settings, fleet.fleet) is None
    for outcomes in (3, 4):
        note_refused(offline_settings, fleet.fleet, Refused(attempt_of(fleet, 7, outcomes), "too few\ndevices"))

    found = last_refused(offline_settings, fleet.fleet)

    assert found is not None and found.why == "too few\ndevices"
    assert found.attempt == attempt_of(fleet, 7, 4)
    forget_refused(offline_settings, fleet.fleet)
    forget_refused(offline_settings, fleet.fleet)
    assert last_refused(offline_settings, fleet.fleet) is None


def test_new_gold_new_outcomes_and_another_fleet_file_are_changes() -> None:
    fleet = pump_fleet()
    changed: FleetSpec = pump_fleet({"ridge": {}})
    base = attempt_of(fleet, 7, 4)
    assert base == attempt_of(pump_fleet(), 7, 4)
    assert all(other != base for other in (attempt_of(fleet, 8, 4), attempt_of(fleet, 7, 5), attempt_of(changed, 7, 4)))


def test_a_torn_note_keeps_no_training_from_running(offline_settings: Settings) -> None:
    fleet = pump_fleet()
    note_refused(offline_settings, fleet.fleet, Refused(attempt_of(fleet, 7, 4), "why"))
    path = Path(training_folder(offline_settings, fleet.fleet)) / "refused.json"
    path.write_bytes(path.read_bytes()[:20])
    assert last_refused(offline_settings, fleet.fleet) is None


def test_a_note_of_an_older_release_has_no_time(offline_settings: Settings) -> None:
    fleet, at = pump_fleet(), datetime(2026, 11, 25, tzinfo=UTC)
    note_refused(offline_settings, fleet.fleet, Refused(attempt_of(fleet, 7, 4), "why", at))
    assert last_refused(offline_settings, fleet.fleet) == Refused(attempt_of(fleet, 7, 4), "why", at)
    path = Path(training_folder(offline_settings, fleet.fleet)) / "refused.json"
    lines = [line for line in path.read_text().splitlines() if '"at"' not in line]
    path.write_text("\n".join(lines).replace('"why",', '"why"').replace('"why": "why",', '"why": "why"'))
    assert last_refused(offline_settings, fleet.fleet) == Refused(attempt_of(fleet, 7, 4), "why")
