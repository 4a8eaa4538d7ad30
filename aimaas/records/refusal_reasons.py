"""The reasons why a record has no prediction, for dead letters, quarantine and HTTP."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why a record is refused; ADMITTED if it is not. Dead letters and quarantine use the lower-case name."""

    ADMITTED = 0
    OVERSIZED = 1
    UNPARSABLE = 2
    WRONG_FLEET = 3
    SCHEMA = 4
    MISSING_READING = 5
    NOT_FINITE = 6
    OUT_OF_RANGE = 7
    KEY_MISMATCH = 8
    SKEW = 9
    DUPLICATE = 10
    CONFLICT = 11
    LATE = 12
    JUMP = 13
    WRONG_PARTITION = 14
    NO_PREDICTION = 15  # for an admitted event without a finite prediction; the judge never gives it

    @property
    def label(self) -> str:
        """The reason as it stands in records."""
        return self.name.lower()


REASONS = max(Reason) + 1  # length of an array indexed by `Reason`
# the reasons that the judge gives
REFUSALS: tuple[Reason, ...] = tuple(r for r in Reason if r not in (Reason.ADMITTED, Reason.NO_PREDICTION))
