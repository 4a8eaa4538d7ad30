"""Errors as RFC 9457 problem details: the field, the found value, and the allowed values."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from aimaas.records.readings import Fault
from aimaas.records.refusal_reasons import Reason

MEDIA_TYPE = "application/problem+json"
_SHOWN = 80  # characters of the found value


class FieldError(msgspec.Struct, frozen=True, omit_defaults=True):
    """One mistake in a body; `pointer` is a JSON pointer in a URI fragment, `reason` is a reason of dead letters."""

    pointer: str
    detail: str
    found: str = ""
    allowed: str = ""
    reason: str = ""


class Problem(Exception):  # noqa: N818 - the RFC calls it a problem
    """An error answer; never reaches the log."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail, self.errors = status, kind, detail, tuple(errors)
        self.headers = dict(headers or {})

    def response(self, path: str) -> Response:
        """Return the problem as an answer to a request of `path`."""
        return Response(self.body(path), self.status, self.headers, MEDIA_TYPE)

    def body(self, path: str) -> bytes:
        """Return the problem as JSON; the inference protocol also needs `error`."""
        members: dict[str, Any] = {
            "type": f"urn:aimaas:problem:{self.kind}",
            "title": self.kind.replace("-", " "),
            "status": self.status,
            "detail": printable(self.detail),
        }
        if self.errors:
            members["errors"] = [FieldError(*map(printable, msgspec.structs.astuple(e))) for e in self.errors]
        if path.startswith("/v2"):
            members["error"] = members["detail"]
        return msgspec.json.encode(members)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Return the problem of a body that is JSON, but not the requested type; the first error is the detail."""
    first = errors[0]
    return Problem(422, "invalid-input", f"{first.pointer}: {first.detail}", errors)


def field_error(pointer: str, found: Any, allowed: str, reason: Reason | None = None) -> FieldError:
    """Return a mistake at `pointer`, with the found value and the allowed values."""
    text = shown(found)
    return FieldError(pointer, f"found {text}, allowed: {allowed}", text, allowed, reason.label if reason else "")


def reading_error(pointer: str, fault: Fault) -> FieldError:
    """Return a fault of the readings of the instance at `pointer`."""
    place = f"{pointer}/events/{fault.row}/readings/{fault.name}"
    return FieldError(place, fault.detail, fault.found, fault.allowed, fault.reason.label)


def shown(value: Any) -> str:
    """Return a value of a body as short ASCII JSON."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "…"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def printable(text: str) -> str:
    """Return text that can be encoded: lone surrogates, which JSON may hold, are replaced."""
    return text.encode("utf-8", "replace").decode()
