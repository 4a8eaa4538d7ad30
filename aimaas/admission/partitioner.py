"""The partition of a key: `murmur2_random` of librdkafka, the default of the Java client.

The clients compute it when they produce, but none of them returns the partition of a key, which topic growth needs. The hash is
MurmurHash2 by Austin Appleby (public domain) with Kafka's fixed seed.
"""

from __future__ import annotations

from collections.abc import Iterable

_SEED, _MIX, _WORD = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a record with this key (at least one byte) in a topic with this number of partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def leading_elsewhere(device_ids: Iterable[str], partition: int, partitions: int) -> dict[str, int]:
    """The devices that do not belong in this partition, each with the partition of its key."""
    leads_to = ((device_id, partition_of(device_id.encode(), partitions)) for device_id in device_ids)
    return {device_id: there for device_id, there in leads_to if there != partition}


def murmur2(data: bytes) -> int:
    """The hash, as an unsigned number of 32 bits."""
    h = (_SEED ^ len(data)) & _WORD
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = (int.from_bytes(data[at : at + 4], "little") * _MIX) & _WORD
        k = ((k ^ (k >> 24)) * _MIX) & _WORD
        h = ((h * _MIX) & _WORD) ^ k
    if whole < len(data):
        h = ((h ^ int.from_bytes(data[whole:], "little")) * _MIX) & _WORD
    h = ((h ^ (h >> 13)) * _MIX) & _WORD
    return h ^ (h >> 15)
