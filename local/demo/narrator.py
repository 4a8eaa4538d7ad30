"""The demo's output while it runs: a line for each stage with its seconds, and a progress bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class Narrator:
    """Prints stages as they begin, progress and end. `seconds` has the duration of each."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, title: str, total: float | None = None) -> Iterator[Stage]:
        """Run one stage: a progress bar on a terminal, and a line when it has ended."""
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
    """The running stage."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar, self._task = bar, task
        self.note = ""

    def move(self, done: float, note: str = "") -> None:
        """Show the progress, in the unit of the stage's total."""
        self.note = note
        self._bar.update(self._task, completed=done, note=note)

    def say(self, note: str) -> None:
        """Show what happens now. The last note stays on the stage's line."""
        self.note = note
        self._bar.update(self._task, note=note)
