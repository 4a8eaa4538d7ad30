"""The output of `aimaas fleets try`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from cli.options import out, say
from cli.records.refused import text

if TYPE_CHECKING:
    from aimaas.fleet import FleetSpec
    from stream.preview.preview import Preview

_SHOWN = 10


def print_preview(present: FleetSpec, changed: FleetSpec, found: Preview) -> None:
    """Print what differs: rules, refused records by reason, rows, labels, features."""
    files = f"the present file (now, version {present.version}) and the changed file (then, version {changed.version})"
    say(f"the newest {found.events:,} events of fleet {present.fleet}, judged by {files}; nothing was changed")
    for line in found.rule_changes:
        say(f"rule: {line}")
    table = Table("", "now", "then", "first difference", box=None)
    for reason, told in found.refused.items():
        table.add_row(f"refused: {reason.label}", f"{told.now:,}", f"{told.then:,}", text(told.example))
    table.add_row("rows admitted", *(f"{n:,}" for n in found.admitted), "")
    table.add_row("features", *(f"{n:,}" for n in found.features), "")
    if found.labelled is not None:
        table.add_row("rows with a label", *(f"{side.rows:,}" for side in found.labelled), "")
        table.add_row("mean label", *(f"{side.mean:.4g}" if side.rows else "" for side in found.labelled), "")
    out.print(table, highlight=False)
    if found.is_same:
        say("nothing differs for these events")
        return
    say(
        f"{found.newly_refused:,} admitted events would be refused, {found.newly_admitted:,} refused events would be admitted"
    )
    say(
        f"{found.other_labels:,} rows that both files admit would get another label, lose their label or get a first one"
    )
    _names("new features", found.new_features)
    _names("removed features", found.gone_features)
    changed_values = sorted(found.values.items(), key=lambda item: -item[1])
    _names("features with changed values", [f"{name} ({share:.1%} of the rows)" for name, share in changed_values])


def _names(what: str, names: Sequence[str]) -> None:
    if names:
        more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        say(f"{what}: {', '.join(names[:_SHOWN])}{more}")
