"""How `aimaas status` shows the parts of the local stack."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from cli.options import out, say

if TYPE_CHECKING:
    from aimaas.settings import Settings
    from local.stack_status import Part


def print_stack(settings: Settings, *, show_secrets: bool) -> bool:
    """Print each part, with details of those that are not up. Return whether all parts are up. Secrets need `show_secrets`."""
    from local.stack_status import stack_parts

    parts = stack_parts(settings)
    if not parts:
        say(f"no stack runs in {settings.home}; start one with `aimaas up`")
        return False
    now = time.time()
    table = Table("part", "state", "for", "restarts", "where", box=None)
    for part in parts:
        state = Text(part.state, "green" if part.state == "up" else "red")
        table.add_row(part.name, state, duration(part.since, now), str(part.restarts or ""), part.where)
    out.print(table)
    print_tasks(settings, now)
    print_login(settings, show_secrets=show_secrets)
    unwell = [part for part in parts if part.state != "up"]
    for part in unwell:
        out.print(trouble(part, now), style="red", highlight=False, soft_wrap=True, markup=False)
    if any(part.state == "dead" for part in unwell):
        say("`aimaas up` repairs it")
    return not unwell


def print_tasks(settings: Settings, now: float) -> None:
    """Print the tasks that Airflow runs now: a first training may take most of an hour."""
    from local.stack_status import tasks_at_work

    told = [f"{name} for {duration(began, now)}" for name, began in tasks_at_work(settings)]
    if told:
        say(f"Airflow has been running {', '.join(told)}")


def print_login(settings: Settings, *, show_secrets: bool) -> None:
    """Print the login of Airflow, and the folder of the logs."""
    from local.airflow.services import find_airflow

    airflow = find_airflow(settings.home / "airflow")
    if airflow is not None:
        password = airflow.client.password if show_secrets else "shown by `aimaas status --show-secrets`"
        say(f"Airflow: login {airflow.client.user}, password {password}")
    say(f"Data Docs: {settings.data_docs}; logs: below {settings.home}")


def trouble(part: Part, now: float) -> str:
    """Return one line about a part that is not up: its next start, its last error, and its log."""
    said = f"{part.name}: {part.state}"
    if part.state == "restarting":
        pause = None if part.next_at is None else max(0.0, part.next_at - now)
        said += ", restarting now" if not pause else f", next start in {pause:.0f} s"
    if part.state == "silent":
        said += ": its process runs, but it does not answer"
    if part.last_error:
        said += f"; {part.last_error}"
    return said if part.log.name == "" else f"{said}; log: {part.log}"


def duration(since: float | None, now: float) -> str:
    """Return how long ago `since` was, in the largest unit that fits; empty if it is not known."""
    if since is None:
        return ""
    seconds = max(0, int(now - since))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
