"""Ed25519 signatures of announcements: only the holder of the signing key can decide which model serves.

The signature covers the fleet and every field of the announcement. The signed message is a JSON array that begins with a fixed
name, so neither the fields nor another program's messages can be confused. Keys are 32 raw bytes in Base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from aimaas.errors import SettingsError
from aimaas.records.events import Announcement
from aimaas.settings import SIGNING_KEY, VERIFY_KEY, Settings

if TYPE_CHECKING:  # imported only if a key is set: it costs 50 ms at start
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_WHAT = "aimaas announcement 1"
_KEY_BYTES = 32


def make_keys() -> tuple[str, str]:
    """A new signing key and the verify key that belongs to it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    made = Ed25519PrivateKey.generate()
    return _text(made.private_bytes_raw()), _text(made.public_key().public_bytes_raw())


def signed(announcement: Announcement, fleet: str, settings: Settings) -> Announcement:
    """Return the announcement with its signature; unchanged if no signing key is set.

    Raises SettingsError for an unusable key, for a verify key without a signing key, and for keys that do not match.
    """
    key = _signer(settings)
    if key is None:
        if settings.verify_key:
            raise SettingsError(
                f"{VERIFY_KEY} is set and {SIGNING_KEY} is not: scorers would ignore announcements of this process; "
                "announce where the signing key is set"
            )
        return announcement
    signature = _text(key.sign(_message(announcement, fleet)))
    made = msgspec.structs.replace(announcement, signature=signature)
    wrong = Verifier(settings).mistake_in(made, fleet)
    if wrong:
        raise SettingsError(f"{SIGNING_KEY} does not match {VERIFY_KEY}; `aimaas models keys` makes a pair")
    return made


class Verifier:
    """Checks the signatures of announcements with the verify keys of the settings, or with the signing key if there are none.

    Without any key it accepts all announcements. Raises SettingsError for an unusable key.
    """

    def __init__(self, settings: Settings) -> None:
        signer = None if settings.verify_key else _signer(settings)
        self._keys: Sequence[Ed25519PublicKey] = [signer.public_key()] if signer else _verify_keys(settings)

    def mistake_in(self, announcement: Announcement, fleet: str) -> str | None:
        """Why the announcement cannot be trusted; None if it can."""
        if not self._keys:
            return None
        if not announcement.signature:
            return f"it is not signed, and {VERIFY_KEY} is set"
        return None if self._is_signed(announcement, fleet) else f"its signature does not match {VERIFY_KEY}"

    def _is_signed(self, announcement: Announcement, fleet: str) -> bool:
        from cryptography.exceptions import InvalidSignature

        message = _message(announcement, fleet)
        for key in self._keys:
            try:
                key.verify(base64.b64decode(announcement.signature, validate=True), message)
            except (InvalidSignature, binascii.Error, ValueError):
                continue
            return True
        return False


def _message(a: Announcement, fleet: str) -> bytes:
    return msgspec.json.encode(
        [_WHAT, fleet, a.alias, a.version, a.sequence, a.uri, a.sha256, a.plan, a.fit, round(a.at.timestamp() * 1e6)]
    )


def _signer(settings: Settings) -> Ed25519PrivateKey | None:
    if not settings.signing_key:
        return None
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(_raw(SIGNING_KEY, settings.signing_key))


def _verify_keys(settings: Settings) -> list[Ed25519PublicKey]:
    if not settings.verify_key:
        return []
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return [Ed25519PublicKey.from_public_bytes(_raw(VERIFY_KEY, one)) for one in settings.verify_key.split(",")]


def _raw(variable: str, text: str) -> bytes:
    """The bytes of a key. Raises SettingsError, which does not contain the key."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise SettingsError(f"{variable} is not {_KEY_BYTES} bytes in Base64; `aimaas models keys` makes a pair")
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
