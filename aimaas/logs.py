"""Structured logs: one event per line on standard error, for a person (`console`) or a machine (`json`).

Long-running processes log by `logger("scorer").info("a sentence", key=value)`. Warnings and errors that libraries log through
Python's logging have the same form (librdkafka uses the logger `kafka`).
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from aimaas.settings import Settings


def set_up_logs(settings: Settings) -> None:
    """Send logs to standard error in the form of the settings. Call this once, in a `main()`-like function."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_form(settings)],
    )
    handler = _StandardError()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("aimaas").setLevel(logging.INFO)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to the standard error at the time of the line, not at the time of `set_up_logs`."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """Does nothing."""


def _form(settings: Settings) -> list[Any]:
    if settings.log_format == "json":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]


def logger(name: str) -> Any:
    """The logger of one part, such as `scorer`; it takes a sentence, and values by key."""
    return structlog.stdlib.get_logger(f"aimaas.{name}")
