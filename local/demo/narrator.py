"""What a person sees while the demo works: a line for each stage with its seconds, a moving one on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Narrator:
    """Tells of stages as they begin, move and end; `seconds` keeps how long each took."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, title: str, total: float | None = None) -> Iterator[Stage]:
        """One stage: a progress bar on a terminal, a line when it has ended."""
        began = time.monotonic()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TimeElapsedColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=self.console, transient=True) as bar:
            stage = Stage(bar, bar.add_task(title, total=total, note=""))
            try:
                yield stage
            except BaseException:
                self.console.print(f"[red]✗[/red] {title} [dim]{time.monotonic() - began:6.1f} s[/dim]")
                raise
        took = time.monotonic() - began
        self.seconds[name] = round(took, 1)
        note = f"  [dim]{stage.note}[/dim]" if stage.note else ""
        self.console.print(
            f"[green]✓[/green] {title:<58} [dim]{took:6.1f} s[/dim]{note}", highlight=False, soft_wrap=True
        )


class Stage:
    """The stage under way."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self.note = ""

    def move(self, done: float, note: str = "") -> None:
        """Show how far it is, in the unit of the stage's total."""
        self.note = note
        self._bar.update(self._task, completed=done, note=note)

    def say(self, note: str) -> None:
        """Show what is happening now; the last word stays on the stage's line."""
        self.note = note
        self._bar.update(self._task, note=note)
