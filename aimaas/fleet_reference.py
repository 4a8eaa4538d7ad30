"""The reference of the fleet file, written from the model itself: `python -m aimaas.fleet_reference > docs/fleet-file.md`.

A test fails where the file and the model differ.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from aimaas.fleet import NAME, FleetSpec

_INTRODUCTION = """# The fleet file

<!-- Written by `python -m aimaas.fleet_reference`; change aimaas/fleet.py instead. -->

One YAML file in `fleets/` declares one device type. `aimaas fleets draft TABLE` proposes one from recorded data
([mapping.md](mapping.md)). Or copy `fleets/turbofan.yaml` (a regression over windows) or `fleets/mill.yaml`
(a classification of single rows). `aimaas fleets validate` checks all files and names all mistakes: one line for each, with file,
key, what was found and what is allowed. The smallest file that works:

```yaml
fleet: pump
version: 1
sensors:
  pressure: {name: outlet pressure, unit: bar, range: [0, 40]}
  vibration: {name: bearing vibration, unit: mm/s, range: [0, 100], nullable: true, fill: previous}
features: {windows: [5, 20]}
task: {kind: remaining_useful_life, unit: hours, cap: 500}
training:
  candidates: {ridge: {}, boosting: {}}
```

A device then sends, keyed by its id, to `iot.pump.events`:

```json
{"fleet": "pump", "device_id": "p-1", "run": 0, "seq": 1, "ts": "2026-11-23T10:00:00Z",
 "readings": {"pressure": 21.5, "vibration": null}}
```

A key without a default must be given, and each key once. `NAME` stands for a name of your own: lower-case letters, digits and `_`,
a letter first. The names of features that the kernel makes are reserved: `age`, `now`, and with any number `mean_5`,
`deviation_5`, `slope_5`, `from_first_5` and `back_5`. Numbers stand without quotes, as YAML 1.2 has them. A file with mistakes
stops its own fleet, no other.
"""
Schema = Mapping[str, Any]

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
          "object": "mapping"}  # fmt: skip
_BOUNDS = {"minimum": "from {}", "exclusiveMinimum": "above {}", "maximum": "to {}", "exclusiveMaximum": "below {}"}


def reference() -> str:
    """The page, Markdown."""
    schema = FleetSpec.model_json_schema()
    return "\n".join([_INTRODUCTION, *_tables(schema, schema["$defs"], "Top level", "")])


def _tables(model: Schema, parts: Mapping[str, Schema], title: str, prefix: str) -> Iterator[str]:
    """A table of the model's keys, then those of the parts it holds."""
    yield f"## {title}\n\n{' '.join(model['description'].split())}\n"
    yield "| key | meaning | allowed | default |\n|---|---|---|---|"
    for key, field in model["properties"].items():
        named = [parts[n] for n in _references(field)]
        meaning = field.get("description") or (named[0]["description"].split(". ")[0].rstrip(".") if named else "")
        default = f"`{json.dumps(field['default'])}`" if field.get("default") is not None and not named else ""
        default = default or (
            "" if key in model.get("required", ()) else "as below" if named and "$ref" in field else "none"
        )
        yield f"| `{prefix}{key}` | {meaning} | {_allowed(field)} | {default} |"
    yield ""
    for key, field in model["properties"].items():
        if key != "settings":  # its parts are those of sensors
            for name in _references(field):
                yield from _tables(parts[name], parts, *_heading(parts[name], field, prefix + key))


def _heading(part: Schema, field: Schema, key: str) -> tuple[str, str]:
    """Title and prefix of a part's table."""
    if key == "sensors":
        return "`settings.NAME` and `sensors.NAME`", "sensors.NAME."
    kind = part["properties"].get("kind")
    return f"`{key}`" + (f" with `kind: {kind['const']}`" if kind else ""), f"{key}."


def _references(field: Schema) -> list[str]:
    """Names of the parts that a key holds."""
    inner = [field, *field.get("oneOf", ()), *(v for v in (field.get("patternProperties") or {}).values())]
    return [f["$ref"].rsplit("/", 1)[1] for f in inner if "$ref" in f]


def _allowed(field: Schema) -> str:
    """What a value may be, in words."""
    if _references(field):
        return "mapping of NAME to the keys below" if "patternProperties" in field else "the keys below"
    if "anyOf" in field:
        return " or ".join(_allowed(f) for f in field["anyOf"] if f.get("type") != "null")
    if "const" in field or "enum" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} numbers"
    if field["type"] == "array" and "type" in field.get("items", {}) and field.get("maxItems") != 0:
        return f"list of: {_allowed(field['items'])}"
    return ", ".join([_TYPES[field["type"]], *_rules(field)])


def _rules(field: Schema) -> Iterator[str]:
    for name, words in _BOUNDS.items():
        if abs(field.get(name, 1e30)) < 1e30:
            yield words.format(f"{field[name]:,.12g}")
    if field.get("pattern") == NAME:
        yield "a NAME"
    if field.get("minLength") or field.get("minProperties"):
        yield "not empty"
    if field.get("maxItems") == 0:
        yield "must stay empty"


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
