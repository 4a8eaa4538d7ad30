"""Writes docs/reference/fleet-file.md from the model: `python -m aimaas.fleet.reference > docs/reference/fleet-file.md`.

A test fails if the page and the model differ.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from aimaas.fleet.spec import NAME, FleetSpec

_INTRODUCTION = """# Fleet file

<!-- Written by `python -m aimaas.fleet.reference`; change aimaas/fleet/spec.py instead. -->

Look up here every key of a fleet file: its meaning, the values it allows and its default.

A fleet file is a YAML file in the folder `fleets/`. It declares one device type. This is a small one:

```yaml
fleet: pump
version: 1
order: ts  # order events by their time; the default, seq, orders them by a counter
settings:  # a person or a controller sets these; leave the block out if there are none
  speed: {name: speed of the shaft, unit: rpm, range: [0, 3600]}
sensors:
  pressure: {name: outlet pressure, unit: bar, range: [0, 40]}
  vibration: {name: bearing vibration, unit: mm/s, range: [0, 100], nullable: true, fill: previous}
features: {windows: [5, 20]}
task: {kind: remaining_useful_life, unit: hours, cap: 500}
training:
  candidates: {ridge: {}, boosting: {}}
```

To predict the probability of a failure within 50 hours instead, write another task:

```yaml
task: {kind: failure_within, unit: hours, horizon: 50}
```

A device of this fleet sends events to the topic `iot.pump.events`. The key of the record is the device id:

```json
{"fleet": "pump", "device_id": "p-1", "ts": "2026-11-23T10:00:00Z",
 "readings": {"speed": 1480, "pressure": 21.5, "vibration": null}}
```

- `aimaas fleets draft TABLE` proposes a fleet file from recorded data: [Your own fleet](../your-own-fleet.md).
- `fleets/turbofan.yaml` (regression over windows) and `fleets/mill.yaml` (classification of single rows) are examples.
- `aimaas fleets validate` checks all fleet files. Each mistake is one line: file, key, value found, values allowed.
- A file with mistakes stops its own fleet only.

Rules for all keys:

- A key without a default is required. No key may occur twice.
- `NAME` is a name that you choose: lower-case letters, digits and `_`, starting with a letter.
- Names of features are reserved: `age`, `now`, and with any number `mean_5`, `deviation_5`, `slope_5`, `from_first_5`, `back_5`.
- With `rules`, no reading and no derived channel may have one of these names: `prediction`, `lower`, `upper`, `fleet`,
  `device_id`, `rule`, `run`, `seq`, `model_version`.
- Write numbers without quotes, as in YAML 1.2.
"""
Schema = Mapping[str, Any]

_TYPES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false", "array": "list",
          "object": "mapping"}  # fmt: skip
_PAGE = re.compile(r"docs/([\w-]+)/([\w-]+)\.md")
_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
}


def reference() -> str:
    """The page, Markdown."""
    schema = FleetSpec.model_json_schema()
    return "\n".join([_INTRODUCTION, *map(linked, _tables(schema, schema["$defs"], "Top level", ""))])


def linked(line: str) -> str:
    """The line with a link for each page that it names: `docs/how-to/tune-a-model.md` becomes `Tune a model`."""
    return _PAGE.sub(lambda page: f"[{page[2].replace('-', ' ').capitalize()}](../{page[1]}/{page[2]}.md)", line)


def _tables(model: Schema, parts: Mapping[str, Schema], title: str, prefix: str) -> Iterator[str]:
    """A table of the model's keys, then the tables of its parts."""
    yield f"## {title}\n\n{' '.join(model['description'].split())}\n"
    yield "| key | meaning | allowed | default |\n|---|---|---|---|"
    for key, field in model["properties"].items():
        named = [parts[n] for n in _references(field)]
        meaning = field.get("description") or (named[0]["description"].split(". ")[0].rstrip(".") if named else "")
        default = f"`{json.dumps(field['default'])}`" if field.get("default") is not None and not named else ""
        default = default or (
            "required" if key in model.get("required", ()) else "see below" if named and "$ref" in field else "none"
        )
        place = "settings.NAME." if key == "command" else prefix  # sensors have all keys of settings except this one
        yield f"| `{place}{key}` | {meaning} | {_allowed(field)} | {default} |"
    yield ""
    for key, field in model["properties"].items():
        if key != "settings":  # it has the same parts as sensors
            for name in _references(field):
                yield from _tables(parts[name], parts, *_heading(parts[name], field, prefix + key))


def _heading(part: Schema, field: Schema, key: str) -> tuple[str, str]:
    """Title and prefix of a part's table."""
    if key == "sensors":
        return "`settings.NAME` and `sensors.NAME`", "sensors.NAME."
    if key == "rules":
        return "`rules.NAME`", "rules.NAME."
    kind = part["properties"].get("kind")
    return f"`{key}`" + (f" with `kind: {kind['const']}`" if kind else ""), f"{key}."


def _references(field: Schema) -> list[str]:
    """Names of the parts that a key refers to."""
    inner = [field, *field.get("oneOf", ()), *(v for v in (field.get("patternProperties") or {}).values())]
    return [f["$ref"].rsplit("/", 1)[1] for f in inner if "$ref" in f]


def _allowed(field: Schema) -> str:
    """The allowed values in words."""
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
    bounds = {name: f"{field[name]:,.12g}" for name in _BOUNDS if abs(field.get(name, 1e30)) < 1e30}
    if bounds.keys() == {"minimum", "maximum"}:
        yield f"{bounds['minimum']} to {bounds['maximum']}"
    else:
        yield from (_BOUNDS[name].format(bound) for name, bound in bounds.items())
    if field.get("pattern") == NAME:
        yield "a NAME"
    if field.get("minLength") or field.get("minProperties"):
        yield "not empty"
    if field.get("maxItems") == 0:
        yield "must stay empty"


if __name__ == "__main__":
    sys.stdout.write(reference() + "\n")
