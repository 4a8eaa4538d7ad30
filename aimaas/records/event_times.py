"""The allowed times of an event or an outcome, as a rule for decoded times and as the pattern of the printed JSON Schema.

Allowed are the years 1900 to 2199, as written. pandas can hold them in nanoseconds (1677 to 2262), Spark stores them in any
calendar, and they include the times of clocks that were reset (1970, or 1900 with NTP). The zero times of .NET and Go, in the
year 1, are outside.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

FIRST_YEAR, LAST_YEAR = 1900, 2199
YEARS = f"the years {FIRST_YEAR} to {LAST_YEAR}"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000
_FIRST_US, _END_US = (
    (datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).days * _DAY_US for year in (FIRST_YEAR, LAST_YEAR + 1)
)

_DATES = "|".join(
    [
        "(19|20|21)[0-9]{2}-(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])",
        "(19|20|21)[0-9]{2}-(0[469]|11)-(0[1-9]|[12][0-9]|30)",
        "(19|20|21)[0-9]{2}-02-(0[1-9]|1[0-9]|2[0-8])",
        "((19|20|21)(0[48]|[2468][048]|[13579][26])|2000)-02-29",
    ]
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_ZONE = "([Zz]|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])"
# a time in the last half microsecond of a year is rounded into the next year
_ROUNDED_UP = r"{}-12-31[Tt ]23:59:59\.999999[5-9][0-9]*"
PATTERN = f"^(({_DATES})[Tt ]{_CLOCK}|{_ROUNDED_UP.format(FIRST_YEAR - 1)}){_ZONE}$"
EXCLUDED = f"^{_ROUNDED_UP.format(LAST_YEAR)}|\n"  # some languages let `$` match before a last line break
"""A text that `PATTERN` matches and `EXCLUDED` does not is a time as the judge takes it, leap seconds apart: these nobody takes."""


def is_allowed(time: datetime) -> bool:
    """Whether a time lies within the allowed years, in the zone in which it was written."""
    return FIRST_YEAR <= time.year <= LAST_YEAR


def near_the_ends(ts_us: npt.NDArray[np.int64]) -> list[int]:
    """Positions of the times (n,), in microseconds since 1970, that may be outside the allowed years in some zone."""
    near = (ts_us < _FIRST_US + _DAY_US) | (ts_us >= _END_US - _DAY_US)
    return np.flatnonzero(near).tolist()
