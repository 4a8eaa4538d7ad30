"""Names and units for a fleet file, from a table's headers: `Temp. Lager [°C]` becomes `temp_lager` in °C."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from aimaas.fleet.consistency import is_reserved

_LONGEST = 40
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_UNITS = [
    "°C",
    "°F",
    "K",
    "bar",
    "mbar",
    "Pa",
    "hPa",
    "kPa",
    "MPa",
    "psi",
    "psia",
    "rpm",
    "1/min",
    "U/min",
    "Hz",
    "kHz",
    "MHz",
    "V",
    "mV",
    "kV",
    "A",
    "mA",
    "kA",
    "W",
    "kW",
    "MW",
    "VA",
    "kVA",
    "kWh",
    "MWh",
    "J",
    "kJ",
    "N",
    "kN",
    "Nm",
    "N·m",
    "kNm",
    "g",
    "kg",
    "t",
    "mg",
    "m",
    "mm",
    "cm",
    "km",
    "µm",
    "um",
    "inch",
    "in",
    "ft",
    "m/s",
    "m/s2",
    "m/s²",
    "mm/s",
    "km/h",
    "mph",
    "l",
    "L",
    "ml",
    "m3",
    "m³",
    "l/min",
    "L/min",
    "l/h",
    "m3/h",
    "m³/h",
    "gpm",
    "%",
    "ppm",
    "dB",
    "dBm",
    "lx",
    "s",
    "ms",
    "µs",
    "us",
    "min",
    "h",
    "d",
    "deg",
    "°",
    "rad",
    "Ohm",
    "Ω",
    "Nl",
    "VAr",
    "var",
    "pH",
    "cycles",
    "lbm/s",
    "kft",
    "°R",
    "degC",
    "degF",
]
_KNOWN = {unit.lower(): unit for unit in reversed(_UNITS)} | {
    "degc": "°C",
    "celsius": "°C",
    "degf": "°F",
    "percent": "%",
}
_BRACKETED = re.compile(
    r"^(?P<name>.*?)[\s_]*(?:\[(?P<square>[^\[\]]{1,15})\]|\((?P<round>[^()]{1,15})\)|\{(?P<curly>[^{}]{1,15})\})\s*$"
)
_SLASHED = re.compile(r"^(?P<name>.+?)(?:\s+/\s+|\s+in\s+|,\s*)(?P<unit>\S{1,12})$")
_SUFFIXES = "bar|mbar|kpa|mpa|psi|rpm|hz|khz|kw|kwh|mm|kg|nm|degc|degf|celsius|percent|ppm"
_SUFFIXED = re.compile(rf"^(?P<name>.+?)_(?P<unit>{_SUFFIXES})$", re.IGNORECASE)


def name_and_unit(header: str) -> tuple[str, str | None]:
    """Return the column's name in a header, and its unit; None without a unit."""
    text = " ".join(header.split())
    if match := _BRACKETED.match(text):
        unit = next(u for u in (match["square"], match["round"], match["curly"]) if u is not None).strip()
        known = _KNOWN.get(unit.lower(), unit)
        if match["name"] and unit and (match["square"] or unit.lower() in _KNOWN or re.search(r"[°%/·²³µΩ]", unit)):
            return match["name"].strip(), "1" if unit in ("-", "—", "1") else known
    for pattern in (_SLASHED, _SUFFIXED):
        match = pattern.match(text)
        if match and match["unit"].lower() in _KNOWN:
            return match["name"].strip(), _KNOWN[match["unit"].lower()]
    return text, None


def key_of(text: str, otherwise: str, taken: Iterable[str] = ()) -> str:
    """Return a NAME for fleet files from `text`, different from those `taken`; from `otherwise` if no letter or digit is left."""
    plain = unicodedata.normalize("NFKD", text.translate(_GERMAN)).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_") or otherwise
    name = (name if name[0].isalpha() else f"x_{name}")[:_LONGEST].rstrip("_")
    known = set(taken)
    free = name if not is_reserved(name) else _numbered(name, 0)
    number = 2
    while free in known or is_reserved(free):
        free = _numbered(name, number)
        number += 1
    return free


def _numbered(name: str, number: int) -> str:
    end = f"_{number}" if number else "_value"
    return f"{name[: _LONGEST - len(end)]}{end}"
