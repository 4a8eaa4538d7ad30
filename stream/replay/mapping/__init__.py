"""The mapping file of a replay."""

from stream.replay.mapping.schema import Mapping, ReplayError

__all__ = ["Mapping", "ReplayError"]
