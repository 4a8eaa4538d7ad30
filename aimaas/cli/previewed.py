"""What `aimaas fleets try` found, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from aimaas.cli.options import out, say
from aimaas.cli.records import text

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from stream.preview.preview import Preview

_SHOWN = 10


def print_preview(present: FleetSpec, changed: FleetSpec, found: Preview) -> None:
    """What differs: rules, refused records by reason, rows, labels, features."""
    files = f"its file (now, version {present.version}) and the changed one (then, version {changed.version})"
    say(f"the newest {found.events:,} events of fleet {present.fleet} by {files}; nothing was changed")
    for line in found.rule_changes:
        say(f"rule: {line}")
    table = Table("", "now", "then", "first that differs", box=None)
    for reason, told in found.refused.items():
        table.add_row(f"refused: {reason.label}", f"{told.now:,}", f"{told.then:,}", text(told.example))
    table.add_row("rows admitted", *(f"{n:,}" for n in found.admitted), "")
    table.add_row("features", *(f"{n:,}" for n in found.features), "")
    if found.labelled is not None:
        table.add_row("rows with a label", *(f"{side.rows:,}" for side in found.labelled), "")
        table.add_row("mean label", *(f"{side.mean:.4g}" if side.rows else "" for side in found.labelled), "")
    out.print(table, highlight=False)
    if found.is_same:
        say("on these events nothing differs")
        return
    say(
        f"{found.newly_refused:,} events would be refused that are admitted now, {found.newly_admitted:,} the other way round"
    )
    say(
        f"{found.other_labels:,} rows that both files admit would have another label, or lose it, or get their first one"
    )
    _names("new features", found.new_features)
    _names("features that go", found.gone_features)
    changed_values = sorted(found.values.items(), key=lambda item: -item[1])
    _names("features with other values", [f"{name} ({share:.1%} of the rows)" for name, share in changed_values])


def _names(what: str, names: Sequence[str]) -> None:
    if names:
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        say(f"{what}: {', '.join(names[:_SHOWN])}{more}")
