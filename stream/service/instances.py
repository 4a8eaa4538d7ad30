"""The instances of `POST /predict`: raw events of one device in order, or features. Decodes them and checks their order."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from aimaas.fleet import FleetSpec
from aimaas.records import plain_json
from aimaas.records.event_times import YEARS, is_allowed
from aimaas.records.events import Run, Seq, Time, readings_type
from aimaas.records.readings import ReadingRules
from aimaas.records.refusal_reasons import Reason
from stream.service.bodies import ROOT, decoded, parsed, problem_of
from stream.service.problems import FieldError, Problem, field_error, invalid, reading_error

Float32 = npt.NDArray[np.float32]
UNSET = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Events:
    """Raw readings (m, R) float64 of one device, NaN for null; `resets` (m,) marks the first event of each run."""

    values: npt.NDArray[np.float64]
    resets: npt.NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Number of events."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Features:
    """One row of features (F,) float32, all finite."""

    row: Float32

    @property
    def rows(self) -> int:
        """Number of rows that count towards a batch: one."""
        return 1


@dataclass(frozen=True, slots=True)
class Explained:
    """An instance whose prediction is requested with its reasons, which take `channels` more rows."""

    instance: Events | Features
    channels: int

    @property
    def rows(self) -> int:
        """Number of rows to score."""
        return self.instance.rows + self.channels


Instance = Events | Features
Asked = Instance | Explained


class _Body(msgspec.Struct):
    instances: list[msgspec.Raw] | msgspec.UnsetType = UNSET


def sample(fleet: FleetSpec) -> Events:
    """Return one event with every reading in the middle of its range."""
    middle = [sum(r.range) / 2 for r in fleet.reading_specs]
    return Events(np.array([middle], np.float64), np.ones(1, np.bool_))


def digest(content: bytes | memoryview, kind: bytes) -> bytes:
    """Return 16 bytes that identify an input in the cache; the same bytes of another kind are another input."""
    return blake2b(content, digest_size=16, person=kind).digest()


class InstanceReader:
    """Reads the bodies of one fleet."""

    def __init__(self, fleet: FleetSpec, most: int) -> None:
        self._most, self._order = most, fleet.order
        self._order_of = operator.attrgetter("run", fleet.order)
        self._rules = ReadingRules(fleet)
        self._body = msgspec.json.Decoder(_Body)
        self._strict = msgspec.json.Decoder(_instance_type(fleet, fleet.nullable))
        self._type = _instance_type(fleet, None)
        self._lenient = msgspec.json.Decoder(self._type)

    def split(self, body: bytes) -> tuple[list[bytes | msgspec.Raw], list[str]]:
        """Return the instances' own bytes, not decoded yet, and their places in the body. Raises Problem."""
        found = decoded(self._body, body).instances
        if found is UNSET:
            return [body], [ROOT]
        check_count(f"{ROOT}/instances", len(found), self._most)
        return found, [f"{ROOT}/instances/{i}" for i in range(len(found))]

    def instance(self, raw: bytes | msgspec.Raw, pointer: str, width: int) -> Instance:
        """Decode the instance at `pointer`, whose features must have the width `width`. Raises Problem."""
        found = self._decode(raw, pointer)
        if (found.events is UNSET) == (found.features is UNSET):
            given = "both" if found.events is not UNSET else "neither"
            raise invalid([FieldError(pointer, f"found {given} of the keys events and features, allowed: one")])
        if found.features is not UNSET:
            return Features(feature_row(found.features, f"{pointer}/features", width))
        return self._events(found.events, pointer)

    def _decode(self, raw: bytes | msgspec.Raw, pointer: str) -> Any:
        try:
            return self._strict.decode(raw)
        except (ValueError, RecursionError):
            pass
        try:
            return self._lenient.decode(raw)  # which readings may be null is judged with the values
        except (ValueError, RecursionError) as e:
            return self._read_slowly(parsed(bytes(raw)), e, pointer)

    def _read_slowly(self, found: Any, error: Exception, pointer: str) -> Any:
        """Decode an instance with counters like 31.0, as admission does. Raises Problem."""
        problem = self._what_is_wrong(found, error, pointer)
        events = found.get("events") if isinstance(found, dict) else None
        if not isinstance(events, list) or any(e.reason for e in problem.errors):
            raise problem
        whole = [plain_json.members(event, event) if isinstance(event, dict) else event for event in events]
        try:
            return msgspec.convert(found | {"events": whole}, self._type)
        except ValueError as e:
            raise problem_of(found, e, pointer) from None

    def _what_is_wrong(self, found: Any, error: Exception, pointer: str) -> Problem:
        """Return the judge's reason if there is one, otherwise the decoder's message."""
        events = found.get("events") if isinstance(found, dict) else None
        for row, event in enumerate(events if isinstance(events, list) else []):
            readings = event.get("readings") if isinstance(event, dict) else None
            fault = self._rules.fault_of(readings, row) if isinstance(readings, dict) else None
            if fault:
                return invalid([reading_error(pointer, fault)])
        return problem_of(found, error, pointer)

    def _events(self, events: Sequence[Any], pointer: str) -> Events:
        if not events:
            raise invalid([field_error(f"{pointer}/events", [], "at least one event")])
        self._check_times(events, pointer)
        return Events(self._rules.matrix([e.readings for e in events]), self._resets(events, pointer))

    def _check_times(self, events: Sequence[Any], pointer: str) -> None:
        if self._order != "ts":
            return
        for i, event in enumerate(events):
            if event.ts is not UNSET and not is_allowed(event.ts):
                raise invalid([field_error(f"{pointer}/events/{i}/ts", event.ts.isoformat(), YEARS, Reason.SCHEMA)])

    def _resets(self, events: Sequence[Any], pointer: str) -> npt.NDArray[np.bool_]:
        """Return True for the first event of each run. Raises Problem unless the events are in ascending order."""
        resets = np.zeros(len(events), np.bool_)
        resets[0] = True
        before = self._order_of(events[0])
        for i, key in enumerate(map(self._order_of, events[1:]), 1):
            if key[0] > before[0]:
                resets[i] = True
            elif key[0] < before[0]:
                raise invalid([_unordered(f"{pointer}/events/{i}/run", key[0], before[0])])
            elif key[1] is not UNSET and before[1] is not UNSET and key[1] <= before[1]:
                raise invalid([_unordered(f"{pointer}/events/{i}/{self._order}", key[1], before[1])])
            before = key
        return resets


def _instance_type(fleet: FleetSpec, nullable: frozenset[str] | None) -> type[msgspec.Struct]:
    order = Seq if fleet.order == "seq" else Time
    readings = readings_type(fleet.readings, nullable, fleet.nullable)
    fields: list[Any] = [("readings", readings), ("run", Run, 0)]
    event: Any = msgspec.defstruct("Event", [*fields, (fleet.order, order | msgspec.UnsetType, UNSET)], gc=False)
    members: list[Any] = [("events", list[event] | msgspec.UnsetType, UNSET)]
    members += [("features", list[float] | msgspec.UnsetType, UNSET)]
    return msgspec.defstruct("Instance", members)


def check_count(pointer: str, found: int, most: int) -> None:
    """Raise Problem unless there are 1 to `most` instances."""
    if not found:
        raise invalid([field_error(pointer, [], "at least one instance")])
    if found > most:
        detail = f"found {found} instances, allowed are {most} in one request"
        raise Problem(413, "too-many-instances", f"{pointer}: {detail}", [FieldError(pointer, detail)])


def feature_row(numbers: Sequence[float], pointer: str, width: int) -> Float32:
    """Return the numbers as float32 (F,). Raises Problem unless they are `width` finite numbers."""
    if len(numbers) != width:
        raise invalid([FieldError(pointer, f"found {len(numbers)} numbers, allowed: the model's {width} features")])
    with np.errstate(over="ignore"):
        row = np.array(numbers, np.float64).astype(np.float32)
    if not np.isfinite(row).all():
        at = int(np.argmin(np.isfinite(row)))
        raise invalid([field_error(f"{pointer}/{at}", numbers[at], "a finite float32", Reason.NOT_FINITE)])
    return row


def _unordered(pointer: str, found: Any, before: Any) -> FieldError:
    texts = [x if isinstance(x, int) else x.isoformat() for x in (found, before)]
    return field_error(pointer, texts[0], f"more than {texts[1]} of the previous event: the oldest event comes first")
