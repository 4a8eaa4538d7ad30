"""A line of the stream's tests, for upkeep: a fleet with its topics on a real broker."""

from tests.stream.conftest import line, module_line, tolerant_line

__all__ = ["line", "module_line", "tolerant_line"]
