"""Why a record has no prediction: the one vocabulary of dead letters, quarantine and HTTP."""

from __future__ import annotations

from enum import IntEnum


class Reason(IntEnum):
    """Why a record is refused; ADMITTED where it is not. The lower-case name is what dead letters and quarantine say."""

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
    NO_PREDICTION = 15  # admitted, but the model gave no finite answer: the judge never gives it

    @property
    def label(self) -> str:
        """The reason as records say it."""
        return self.name.lower()


REASONS = max(Reason) + 1  # length of an array indexed by `Reason`
# those of the judge
REFUSALS: tuple[Reason, ...] = tuple(r for r in Reason if r not in (Reason.ADMITTED, Reason.NO_PREDICTION))
