"""`aimaas models`: list, show and compare registered models; promote, roll back, veto, announce."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from aimaas.settings import SIGNING_KEY, VERIFY_KEY
from cli.options import Fleet, opened, out, say

models_app = typer.Typer(
    no_args_is_help=True, help="List, compare, promote, roll back, veto and announce model versions."
)


@models_app.command("list")
def models_list(fleet: Fleet) -> None:
    """List the registered versions, newest first."""
    from aimaas.registry.versions import list_models

    table = Table("version", "alias", "candidate", "metric", "registered", "training set", "", box=None)
    for m in list_models(*opened(fleet)):
        veto = escape(str(m.veto)) if m.veto else ""
        table.add_row(m.version, ", ".join(m.aliases), m.candidate, m.metric, m.registered_at, m.training_set, veto)
    out.print(table)


@models_app.command("show")
def models_show(fleet: Fleet, version: Annotated[str, typer.Argument(help="Version number.")]) -> None:
    """Show the provenance and the metrics of a version."""
    from aimaas.registry.versions import show_model

    out.print_json(json.dumps(show_model(*opened(fleet), version)))


@models_app.command("compare")
def models_compare(
    fleet: Fleet,
    first: Annotated[str, typer.Argument(help="Version number.")],
    second: Annotated[str, typer.Argument(help="Version number.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two versions on the same frozen test rows."""
    from models.promotion.compare import compare

    found = compare(*opened(fleet), first, second)
    if as_json:
        out.print_json(json.dumps(found.as_json()))
        return
    heads = [f"version {v} ({c})" for v, c in zip(found.versions, found.candidates, strict=True)]
    table = Table("metric", *heads, "second minus first", box=None)
    for name, (a, b) in found.headlines().items():
        less = b - a if a is not None and b is not None else None
        table.add_row(name, *("" if x is None else f"{x:.5g}" for x in (a, b, less)))
    out.print(table)
    say(f"{found.rows}; training set {found.digest[:12]}")


@models_app.command("refused")
def models_refused(fleet: Fleet) -> None:
    """List the versions that scorers refused to serve, with the reasons, oldest first."""
    from aimaas.registry.model_status import refusals

    found = refusals(*opened(fleet))
    table = Table("version", "sequence", "scorer", "at", "reason", box=None)
    for r in found:
        what = "passed over: " if r.state == "passed_over" else ""
        table.add_row(
            r.version, str(r.sequence), r.instance, r.at.strftime("%Y-%m-%dT%H:%M:%SZ"), escape(what + r.reason)
        )
    out.print(table if found else "no scorer has refused a version", highlight=False)


@models_app.command("keys")
def models_keys() -> None:
    """Create a key pair for signed announcements. Prints the two environment variables."""
    from aimaas.registry.signatures import make_keys

    signing, verify = make_keys()
    out.print(f"{SIGNING_KEY}={signing}", f"{VERIFY_KEY}={verify}", sep="\n", highlight=False, soft_wrap=True)


@models_app.command("promote")
def models_promote(fleet: Fleet, version: Annotated[str, typer.Argument(help="Version number.")]) -> None:
    """Promote a version without comparing it with the champion, and announce it. Refuses a vetoed version."""
    from aimaas.registry.versions import set_champion
    from models.promotion.announce import announce

    settings, spec = opened(fleet)
    set_champion(settings, spec, version)
    announce(settings, spec)
    say(f"version {version} is the champion of {fleet}")


@models_app.command("rollback")
def models_rollback(fleet: Fleet) -> None:
    """Roll back to the previous champion, and announce it. Vetoes the present champion."""
    from aimaas.registry.versions import rollback
    from models.promotion.announce import announce

    settings, spec = opened(fleet)
    version = rollback(settings, spec)
    announce(settings, spec)
    say(f"version {version} is the champion of {fleet} again")


@models_app.command("veto")
def models_veto(
    fleet: Fleet,
    version: Annotated[str, typer.Argument(help="Version number.")],
    why: Annotated[str, typer.Option(help="Reason of the veto.")],
) -> None:
    """Forbid the promotion of a version, and of the same bytes under another version."""
    from aimaas.registry.versions import veto

    veto(*opened(fleet), version, why)
    say(f"version {version} of {fleet} is vetoed")


@models_app.command("unveto")
def models_unveto(fleet: Fleet, version: Annotated[str, typer.Argument(help="Version number.")]) -> None:
    """Lift a veto."""
    from aimaas.registry.versions import unveto

    lifted = unveto(*opened(fleet), version)
    say(f"version {version} of {fleet} may be promoted again; it was {lifted}")


@models_app.command("announce")
def models_announce(
    fleet: Fleet, watch: Annotated[bool, typer.Option(help="Continue until Ctrl-C or SIGTERM.")] = False
) -> None:
    """Announce the champion of the registry on the models topic, if it is not announced yet."""
    from models.promotion.announce import announce, announce_forever

    settings, spec = opened(fleet)
    if watch:
        announce_forever(settings, spec)
        return
    found = announce(settings, spec)
    say(f"champion: version {found.version}" if found else "no champion to announce")
