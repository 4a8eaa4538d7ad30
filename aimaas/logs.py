"""Structured logs: one event per line on standard error, for a person (`console`) or a machine (`json`).

Everything that runs for long logs by `logger("scorer").info("what happened", key=value)`. What libraries say through Python's
own logging (librdkafka speaks as `kafka`) takes the same form, from warnings on.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, TextIO

import structlog

from aimaas.settings import Settings


def set_up_logs(settings: Settings) -> None:
    """Send logs to standard error in the form that the settings ask for. Call once, in a `main()`-like function."""
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
    """Writes to what standard error is when a line comes, not to what it was when logs were set up."""

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
    """The logger of one part, such as `scorer`; takes a sentence and keys with values."""
    return structlog.stdlib.get_logger(f"aimaas.{name}")
