"""`aimaas alerts`: list, show and forward alerts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Fleet, opened, out, say
from cli.records.refused import AsJson, Limit, print_rows, text

if TYPE_CHECKING:
    from aimaas.records.alerts import Alert

alerts_app = typer.Typer(no_args_is_help=True, help="List, show and forward alerts.")


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

    settings, spec = opened(fleet)
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

    for alert in episode_of(*opened(fleet), alert_id):
        out.print_json(encode_alert(alert).decode())


@alerts_app.command("forward")
def alerts_forward(
    fleet: Fleet,
    alertmanager: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of Prometheus Alertmanager, such as http://host:9093.")
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Address that takes each alert as JSON. Default: AIMAAS_WEBHOOK_URL."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the receiver. Each name has its own place in the topic. Default: alertmanager or webhook."
        ),
    ] = None,
) -> None:
    """Forward alerts to Alertmanager or to a webhook until Ctrl-C or SIGTERM.

    \b
      aimaas alerts forward --fleet pump --alertmanager http://localhost:9093
      aimaas alerts forward --fleet pump --webhook https://host/hook --name chat

    A receiver that is down loses nothing: alerts wait in the topic. The first run begins with the alerts that fire then.
    """
    from stream.alerts.forwarding import forward
    from stream.alerts.receivers import Alertmanager, Webhook
    from stream.scorer.run import stop_on_signals

    settings, spec = opened(fleet, logs=True)
    url = webhook or (settings.webhook_url if alertmanager is None else None)
    if (alertmanager is None) == (url is None):
        raise typer.BadParameter("give one receiver: --alertmanager, or --webhook (AIMAAS_WEBHOOK_URL)")
    stop = stop_on_signals()
    if alertmanager is not None:
        done = forward(settings, spec, name or "alertmanager", partial(Alertmanager, alertmanager), stop)
    else:
        hook = Webhook(url or "", settings.webhook_token)
        done = forward(settings, spec, name or "webhook", lambda _: hook, stop)
    say(f"forwarded {done} records")
