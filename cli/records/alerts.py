"""`aimaas alerts`: list and show alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aimaas.settings import read_settings
from cli.options import Fleet, fleet_of, out, say
from cli.records.refused import AsJson, Limit, print_rows, text

if TYPE_CHECKING:
    from aimaas.records.alerts import Alert

alerts_app = typer.Typer(no_args_is_help=True, help="List and show alerts.")


@alerts_app.command("list")
def alerts_list(
    fleet: Fleet,
    everything: Annotated[
        bool, typer.Option("--all", help="Resolved alerts too, as far back as retention goes.")
    ] = False,
    rule: Annotated[str | None, typer.Option(help="Only alerts of this rule.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List the alerts that fire now."""
    from aimaas.records.alerts import encode_alert
    from stream.alerts.reading import alert_records, firing_alerts

    settings = read_settings()
    spec = fleet_of(settings, fleet)
    found = alert_records(settings, spec) if everything else firing_alerts(settings, spec)
    found = [alert for alert in found if rule in (None, alert.rule)]
    shown = found[len(found) - min(limit, len(found)) :]
    if as_json:
        for alert in shown:
            print(encode_alert(alert).decode())  # noqa: T201
        return
    if not found:
        say("no alerts" if everything else "no alert fires" if spec.rules else f"fleet {fleet} has no alert rules")
        return
    print_rows(["since", "severity", "device", "alert", "status", "summary"], [_row(a) for a in shown], len(found))


def _row(alert: Alert) -> list[str]:
    status = f"{alert.status} ({alert.reason})" if alert.reason else alert.status
    since = alert.starts_at.strftime("%Y-%m-%d %H:%M:%S")
    return [
        since,
        alert.severity,
        text(alert.device_id),
        text(alert.alert_id),
        status,
        text(alert.annotations.get("summary", "")),
    ]


@alerts_app.command("show")
def alerts_show(
    fleet: Fleet, alert_id: Annotated[str, typer.Argument(help="The alert, as `aimaas alerts list` prints it.")]
) -> None:
    """Show the records of one alert as JSON, the firing one first."""
    from aimaas.records.alerts import encode_alert
    from stream.alerts.reading import episode_of

    settings = read_settings()
    for alert in episode_of(settings, fleet_of(settings, fleet), alert_id):
        out.print_json(encode_alert(alert).decode())
