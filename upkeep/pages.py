"""Old pages of Data Docs: results and pages of runs before a day, the newest of each suite left whatever its age."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

_RESULTS, _PAGES = "results/validations", "site/validations"


def prune_pages(folder: Path, before: datetime, dry_run: bool = False) -> int:
    """Delete results and pages of a fleet's Data Docs (`folder`) that are older than `before`; how many files.

    The index, which the next gate writes anew, lists what is left.
    """
    old = [path for part in (_RESULTS, _PAGES) for path in _old(folder / part, before)]
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return len(old)


def _old(folder: Path, before: datetime) -> list[Path]:
    """The files older than `before` but for each suite's newest run; a suite is a folder, its runs are folders in it."""
    found = []
    for suite in sorted(p for p in folder.glob("*") if p.is_dir()):
        runs = sorted(suite.iterdir(), key=lambda run: run.stat().st_mtime)
        for run in runs[:-1]:
            files = [path for path in [run, *run.rglob("*")] if path.is_file()]
            newest = max((path.stat().st_mtime for path in files), default=0.0)
            if files and datetime.fromtimestamp(newest, UTC) < before:
                found += files
    return found
