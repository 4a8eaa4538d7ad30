"""Only who holds the signing key may say which model serves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from aimaas.errors import SettingsError
from aimaas.records.events import CHAMPION, MAX_SEQUENCE, Announcement
from aimaas.registry.announcements import AnnouncementError, announcement_of
from aimaas.registry.signatures import Verifier, make_keys, signed
from aimaas.settings import Settings, read_settings

AT = datetime(2026, 11, 29, 10, 0, 0, 123456, tzinfo=UTC)
MADE = Announcement(CHAMPION, "3", 5, "s3://store/3/model.onnx", "0" * 64, "p" * 16, "f" * 16, AT)


@pytest.fixture
def keyed(offline_settings: Settings) -> Settings:
    signing, verify = make_keys()
    return replace(offline_settings, signing_key=signing, verify_key=verify)


def read(value: Any, settings: Settings, fleet: str = "mill", key: bytes = b"champion") -> Announcement | None:
    given = value if isinstance(value, bytes) else msgspec.json.encode(value)
    return announcement_of(key, given, fleet, Verifier(settings))


def test_a_signed_announcement_is_taken_by_who_knows_the_verify_key_or_none(keyed: Settings) -> None:
    made = signed(MADE, "mill", keyed)
    assert read(made, replace(keyed, signing_key=None)) == made
    assert read(made, replace(keyed, verify_key=None)) == made, "the announcer knows its own"
    assert read(made, replace(keyed, signing_key=None, verify_key=None)) == made
    assert signed(MADE, "mill", keyed) == made, "the same announcement has the same bytes"


def test_a_zone_of_the_time_changes_nothing(keyed: Settings) -> None:
    text = msgspec.json.encode(signed(MADE, "mill", keyed)).replace(b"10:00:00.123456Z", b"12:00:00.123456+02:00")
    assert b"+02:00" in text
    assert read(text, keyed) is not None


OTHER: dict[str, Any] = {
    "version": "4", "sequence": 6, "uri": "s3://store/4/model.onnx", "sha256": "1" * 64, "plan": "q", "fit": "g",
    "at": AT + timedelta(microseconds=1), "signature": "",
}  # fmt: skip


@pytest.mark.parametrize("field", OTHER)
def test_a_signature_holds_for_no_other_announcement(keyed: Settings, field: str) -> None:
    forged = msgspec.structs.replace(signed(MADE, "mill", keyed), **{field: OTHER[field]})
    with pytest.raises(AnnouncementError, match="AIMAAS_VERIFY_KEY"):
        read(forged, keyed)


@pytest.mark.parametrize("signature", ["!", "AAAA", "é", "A" * 128])
def test_a_signature_that_is_none_is_passed_over(keyed: Settings, signature: str) -> None:
    with pytest.raises(AnnouncementError):
        read(msgspec.structs.replace(MADE, signature=signature), keyed)


def test_a_signature_holds_for_no_other_fleet_and_no_other_key(keyed: Settings, offline_settings: Settings) -> None:
    made, (_, other) = signed(MADE, "mill", keyed), make_keys()
    with pytest.raises(AnnouncementError):
        read(made, keyed, fleet="turbofan")
    with pytest.raises(AnnouncementError):
        read(made, replace(offline_settings, verify_key=other))
    assert read(made, replace(offline_settings, verify_key=f"{other},{keyed.verify_key}")) == made, (
        "keys can be changed"
    )


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        b'{"alias":"champion"}',
        b'{"alias":"champion","sequence":' + b"9" * 6_000,
    ],
)
def test_a_record_that_is_no_announcement_is_one_error(offline_settings: Settings, value: bytes) -> None:
    with pytest.raises(AnnouncementError, match="cannot be read"):
        read(value, offline_settings)


@pytest.mark.parametrize(
    "changes",
    [
        {"sequence": -1}, {"sequence": MAX_SEQUENCE + 1}, {"sequence": 2**62}, {"version": "3\n4"}, {"version": ""},
        {"uri": "x" * 3_000}, {"sha256": "../../etc"}, {"at": AT.replace(tzinfo=None)},
    ],
)  # fmt: skip
def test_values_out_of_bounds_are_refused(offline_settings: Settings, changes: dict[str, Any]) -> None:
    with pytest.raises(AnnouncementError, match="cannot be read"):
        read(msgspec.structs.replace(MADE, **changes), offline_settings)


def test_records_of_another_kind_are_nothing(offline_settings: Settings) -> None:
    assert read(MADE, offline_settings, key=b"accepted/champion") is None
    assert announcement_of(b"champion", None, "mill", Verifier(offline_settings)) is None
    assert read(msgspec.structs.replace(MADE, alias="challenger"), offline_settings) is None


def test_keys_that_cannot_be_used_are_named_and_not_shown(offline_settings: Settings) -> None:
    with pytest.raises(SettingsError, match="AIMAAS_VERIFY_KEY is not 32 bytes") as caught:
        Verifier(replace(offline_settings, verify_key="c2VjcmV0"))
    assert "c2VjcmV0" not in str(caught.value)
    with pytest.raises(SettingsError, match="AIMAAS_SIGNING_KEY is not 32 bytes"):
        signed(MADE, "mill", replace(offline_settings, signing_key="c2VjcmV0"))
    (one, _), (_, other) = make_keys(), make_keys()
    with pytest.raises(SettingsError, match="does not match"):
        signed(MADE, "mill", replace(offline_settings, signing_key=one, verify_key=other))
    with pytest.raises(SettingsError, match="announce where the signing key is"):
        signed(MADE, "mill", replace(offline_settings, verify_key=other))


def test_the_signing_key_is_never_shown() -> None:
    found = read_settings({"AIMAAS_SIGNING_KEY": "s3cret", "AIMAAS_VERIFY_KEY": ""})
    assert "s3cret" not in repr(found)
    assert found.verify_key is None
