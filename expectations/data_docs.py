"""The pages of Data Docs: one for each validation, an index for each fleet, and an index of the fleets.

Great Expectations' own pages load styles and scripts from other hosts, show failures and warnings alike, and show no observed value
of a passed expectation. These pages are single files that load nothing. Great Expectations' own results are in `results`, as
usual. The pages describe each expectation in Great Expectations' words.

Layout below the site: `validations/<suite>/<run>/<time>.html`, with a summary (`.json`) beside it from which the index is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from aimaas.stored_files import write
from expectations.outcomes import OUTCOMES, judged

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import DataFrame

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_RUNS = 500  # that an index lists; older pages are kept

Spans = Mapping[str, tuple[float, float]]
"""Lowest and highest value of each numeric column."""


class Summary(msgspec.Struct, frozen=True):
    """A validation in the index: its verdict is its worst outcome, `counts` are by `OUTCOMES`; `page` is relative to the site."""

    suite: str
    run: str
    at: datetime
    verdict: str
    counts: dict[str, int]
    page: str


def spans_of(frame: pd.DataFrame) -> Spans:
    """Lowest and highest value of each numeric column of the judged rows, without nulls."""
    numbers = frame.select_dtypes("number")
    low, high = numbers.min(), numbers.max()
    return {str(name): (float(low[name]), float(high[name])) for name in numbers.columns if low[name] == low[name]}


def spans_in_spark(frame: DataFrame, columns: Collection[str]) -> Spans:
    """As `spans_of`, in one aggregate over the rows."""
    from pyspark.sql import functions as f
    from pyspark.sql.types import NumericType

    names = [c.name for c in frame.schema.fields if c.name in columns and isinstance(c.dataType, NumericType)]
    if not names:
        return {}
    found = frame.agg(*(extreme(f.col(name)) for name in names for extreme in (f.min, f.max))).first() or ()
    spans = dict(zip(names, zip(found[::2], found[1::2], strict=True), strict=True))
    return {name: (float(low), float(high)) for name, (low, high) in spans.items() if low is not None}


def write_page(site: Path, fleet: str, result: Any, spans: Spans) -> Path:
    """Write the page and the summary of a Great Expectations result; returns the page's path."""
    found, run_id = [judged(r, spans) for r in result.results], result.meta["run_id"]
    run, at = str(run_id.run_name), run_id.run_time.astimezone(UTC)
    counts = {name: sum(j.outcome == name for j in found) for name in OUTCOMES}
    folder = site / "validations" / result.suite_name / run
    page: Path = folder / f"{at:%Y%m%dT%H%M%S.%fZ}.html"
    summary = Summary(result.suite_name, run, at, _worst(counts), counts, str(page.relative_to(site)))
    folder.mkdir(parents=True, exist_ok=True)
    found.sort(key=lambda j: OUTCOMES.index(j.outcome))
    _write(page, _rendered("validation", fleet=fleet, summary=summary, judged=found, up="../../../"))
    page.with_suffix(".json").write_bytes(msgspec.json.encode(summary))
    return page


def write_indexes(site: Path, fleet: str) -> None:
    """Write the index of the fleet's validations, newest first, and the index of all fleets two folders above."""
    found = sorted(_summaries(site), key=lambda s: s.at, reverse=True)
    newest = {s.suite: s for s in reversed(found)}
    older = sorted(str(p.relative_to(site)) for p in (site / "validations").glob("*/*/*/*.html"))
    _write(
        site / "index.html",
        _rendered("index", fleet=fleet, newest=sorted(newest.values(), key=lambda s: s.suite), runs=found[:_MOST_RUNS],
                  older=older, left=max(len(found) - _MOST_RUNS, 0), up=""),
    )  # fmt: skip
    root = site.parent.parent
    fleets = sorted(p.parent.parent.name for p in root.glob("*/site/index.html"))
    _write(root / "index.html", _rendered("fleets", fleets=fleets, up=""))


def _summaries(site: Path) -> Iterator[Summary]:
    """The summaries whose pages still exist."""
    for path in (site / "validations").glob("*/*/*.json"):
        if path.with_suffix(".html").is_file():
            yield msgspec.json.decode(path.read_bytes(), type=Summary)


def _worst(counts: Mapping[str, int]) -> str:
    return next((name for name in OUTCOMES if counts[name]), OUTCOMES[-1])


def _rendered(template: str, **given: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    environment.filters["moment"] = lambda at: f"{at:%Y-%m-%d %H:%M:%S} UTC"
    return environment.get_template(f"{template}.html.jinja").render(outcomes=OUTCOMES, **given)


def _write(path: Path, text: str) -> None:
    write(path, text.encode())  # atomically, because somebody may be reading
