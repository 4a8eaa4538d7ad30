"""The proof that a replay wrote a header: an HMAC-SHA256 under a key that devices do not have.

It covers the original's coordinates and the copy's key and value, so a genuine header on another record proves nothing.
"""

from __future__ import annotations

import hmac

_MEANING = b"aimaas replay 1"  # so that the key may prove something else elsewhere
_NONE = b"\xff" * 8  # the length of a missing part


def replay_mac(secret: str, original: str, key: bytes | None, value: bytes | None) -> str:
    """Return the proof, in hex, that a record with this key and value is a copy of `original` (`topic/partition/offset`)."""
    proof = hmac.new(secret.encode(), _MEANING, "sha256")
    for part in (original.encode(), key, value):
        proof.update(_NONE if part is None else len(part).to_bytes(8, "big") + part)
    return proof.hexdigest()


def is_genuine(mac: bytes, secret: str, original: str, key: bytes | None, value: bytes | None) -> bool:
    """Return whether `mac` is that proof. Takes the same time for any value."""
    return hmac.compare_digest(mac, replay_mac(secret, original, key, value).encode())
