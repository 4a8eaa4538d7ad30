"""Prunes old pages and results of Data Docs. The newest run of each suite stays at any age."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

_RESULTS, _PAGES = "results/validations", "site/validations"


def prune_pages(folder: Path, before: datetime, dry_run: bool = False) -> int:
    """Delete results and pages of a fleet's Data Docs (`folder`) that are older than `before`. Return the number of files.

    The next gate writes the index again, without the deleted pages.
    """
    old = [path for part in (_RESULTS, _PAGES) for path in _old(folder / part, before)]
    if not dry_run:
        for path in old:
            path.unlink(missing_ok=True)
    return len(old)


def _old(folder: Path, before: datetime) -> list[Path]:
    """Return the files older than `before`, except those of each suite's newest run. A suite is a folder with a folder per run."""
    found = []
    for suite in sorted(p for p in folder.glob("*") if p.is_dir()):
        runs = sorted(suite.iterdir(), key=lambda run: run.stat().st_mtime)
        for run in runs[:-1]:
            files = [path for path in [run, *run.rglob("*")] if path.is_file()]
            newest = max((path.stat().st_mtime for path in files), default=0.0)
            if files and datetime.fromtimestamp(newest, UTC) < before:
                found += files
    return found
