"""API keys: who may send requests, and how often."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachetools import LRUCache

from aimaas.errors import ServiceError
from stream.service.problems import Problem

_MOST_CALLERS = 10_000  # callers whose pace is remembered if no key is required


def keys_of(text: str | None) -> tuple[bytes, ...] | None:
    """Return the keys of a comma-separated list; None without a list: any caller is allowed.

    Raises ServiceError for an empty one.
    """
    if text is None:
        return None
    keys = tuple(key.strip().encode() for key in text.split(",") if key.strip())
    if not keys:
        raise ServiceError("AIMAAS_API_KEY holds no key: give one key, several separated by commas, or unset it")
    return keys


class Keys:
    """Identifies callers by their key. A comparison takes the same time for every given key."""

    def __init__(self, keys: tuple[bytes, ...] | None) -> None:
        self._keys = keys

    def caller(self, given: bytes, address: str) -> int | str:
        """Return the number of the given key, or the address if no key is required. Raises Problem (401)."""
        if self._keys is None:
            return address
        same = [hmac.compare_digest(given, key) for key in self._keys]
        if not any(same):
            found = "another one" if given else "none"
            detail = f"header X-API-Key: found {found}, allowed: a key in AIMAAS_API_KEY of the service"
            raise Problem(401, "unauthorized", detail, headers={"WWW-Authenticate": "ApiKey", "Connection": "close"})
        return same.index(True)


@dataclass
class _Bucket:
    tokens: float
    at: float  # monotonic seconds


class Pace:
    """Allows `rate` requests a second of each caller, after a burst of `burst`; a rate of 0 allows any number."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, max(burst, 1), clock
        self._buckets: LRUCache[int | str, _Bucket] = LRUCache(_MOST_CALLERS)

    def check(self, caller: int | str) -> None:
        """Count a request. Raises Problem (429) if it comes too soon."""
        if not self._rate:
            return
        now = self._clock()
        bucket = self._buckets.get(caller)
        if bucket is None:
            bucket = self._buckets[caller] = _Bucket(self._burst, now)
        bucket.tokens = min(bucket.tokens + (now - bucket.at) * self._rate, self._burst)
        bucket.at = now
        if bucket.tokens < 1:
            wait_s = math.ceil((1 - bucket.tokens) / self._rate)
            detail = (
                f"more than {self._rate:g} requests a second after a burst of {self._burst}: try again in {wait_s} s"
            )
            raise Problem(429, "too-many-requests", detail, headers={"Retry-After": str(wait_s)})
        bucket.tokens -= 1
