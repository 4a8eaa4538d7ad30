"""Runs Great Expectations over a data frame and keeps the result with its Data Docs.

Layout below the folder of Data Docs: `<fleet>/site/index.html` is what a person opens, `<fleet>/results` holds every run's
results as JSON, so that the pages of old runs stay.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expectations.data_docs import Spans, spans_of, write_indexes, write_page

if TYPE_CHECKING:
    import pandas as pd

    from expectations.suite import Expected, Severity


_PLACE = "place"  # in an expectation's meta: its place in the suite


@dataclass(frozen=True)
class Finding:
    """One expectation that failed: what was expected, what was seen, how bad that is."""

    subject: str
    expectation: str
    limit: str
    observed: str
    severity: Severity

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.subject} {self.expectation}: {self.observed}, expected {self.limit}"


@dataclass(frozen=True)
class Validation:
    """One suite run over one batch; `page` is its own page in Data Docs.

    `to_set_aside` are the expectations of severity `quarantine` that some rows fail, within the limit, `failing` those beyond it,
    critical ones among them.
    """

    checked: int
    findings: tuple[Finding, ...]
    page: str
    to_set_aside: tuple[Expected, ...] = ()
    failing: tuple[Expected, ...] = ()


class DataDocs:
    """The Data Docs of one fleet. Validations are added by `validate`, the pages are written by `build`."""

    def __init__(self, folder: Path, fleet: str, url: str | None = None) -> None:
        """`url` is where the folder is served over HTTP, None where it is not."""
        self._site, self._fleet, self._root = folder / fleet / "site", fleet, url or folder.as_uri()
        self._context = _context(folder / fleet / "results")
        self._done: list[tuple[Any, Spans]] = []

    @property
    def index(self) -> str:
        """URI of the page that lists all runs."""
        return f"{self._root.rstrip('/')}/{self._fleet}/site/index.html"

    def validate(self, suite_name: str, expected: Sequence[Expected], frame: pd.DataFrame, run_name: str) -> Validation:
        """Run the expectations over all rows of `frame`; at most 20 examples of what failed are kept."""
        import great_expectations as gx
        from great_expectations.core.run_identifier import RunIdentifier

        suite, run = self._context.suites.add_or_update(_suite(suite_name, expected)), RunIdentifier(run_name=run_name)
        definition = gx.ValidationDefinition(name=suite_name, data=self._rows(suite_name), suite=suite)
        result = self._context.validation_definitions.add_or_update(definition).run(
            batch_parameters={"dataframe": frame},
            result_format={"result_format": "SUMMARY", "partial_unexpected_count": 20},
            run_id=run,
        )
        self._done.append((result, spans_of(frame)))
        findings = tuple(_finding(r) for r in result.results if not r.success)
        aside = [
            expected[r.expectation_config.meta[_PLACE]]
            for r in result.results
            if r.success and r.result.get("unexpected_count")
        ]
        failing = [
            expected[r.expectation_config.meta[_PLACE]]
            for r in result.results
            if not r.success and r.result.get("unexpected_count")
        ]
        return Validation(
            len(result.results),
            findings,
            self._page(suite_name, run_name),
            tuple(e for e in aside if e[2] == "quarantine"),
            tuple(e for e in failing if e[2] != "warning"),
        )

    def failing(self, expected: Sequence[Expected], frame: pd.DataFrame) -> list[list[int]]:
        """For each expectation on rows the places in `frame` of those that fail it; nothing of it is kept."""
        batch = self._rows("failing").get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})
        found = batch.validate(_suite("failing", expected), result_format={"result_format": "COMPLETE"})
        places = {r.expectation_config.meta[_PLACE]: r.result["unexpected_index_list"] for r in found.results}
        return [places[i] for i in range(len(expected))]

    def _rows(self, name: str) -> Any:
        """A definition of batches that are whole data frames."""
        source = self._context.data_sources.add_or_update_pandas("lake")
        return source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("rows")

    def build(self) -> None:
        """Write the pages of what was validated here, and the index of all runs; older pages are left as they are."""
        for result, spans in self._done:
            write_page(self._site, self._fleet, result, spans)
        write_indexes(self._site, self._fleet)

    def _page(self, suite_name: str, run_name: str) -> str:
        return f"{self._root.rstrip('/')}/{self._fleet}/site/validations/{suite_name}/{run_name}"


def _context(results: Path) -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read when GX is imported; nothing is sent to anybody
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # one line for each method it registers
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, ProgressBarsConfig

    files = {"class_name": "TupleFilesystemStoreBackend"}
    memory = {"class_name": "InMemoryStoreBackend"}
    config = DataContextConfig(
        config_version=4.0,
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        stores={
            "suites": _store("ExpectationsStore", {**files, "base_directory": str(results / "suites")}),
            "validations": _store("ValidationResultsStore", {**files, "base_directory": str(results / "validations")}),
            "checkpoint_store": _store("CheckpointStore", memory),
            "validation_definition_store": _store("ValidationDefinitionStore", memory),
        },
        expectations_store_name="suites",
        validation_results_store_name="validations",
        checkpoint_store_name="checkpoint_store",
        data_docs_sites={},  # our own: expectations/data_docs.py
    )
    return gx.get_context(project_config=config)


def _store(kind: str, backend: dict[str, str]) -> dict[str, object]:
    return {"class_name": kind, "store_backend": backend}


def _suite(name: str, expected: Sequence[Expected]) -> Any:
    import great_expectations as gx
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    suite = gx.ExpectationSuite(name=name)
    for place, (kind, kwargs, severity) in enumerate(expected):
        known = (
            "critical" if severity == "quarantine" else severity
        )  # GX has no word for it; beyond the limit it stops the run
        meta = {_PLACE: place, "severity": severity}
        suite.add_expectation_configuration(ExpectationConfiguration(kind, dict(kwargs), meta=meta, severity=known))
    return suite


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    kwargs = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "column", "column_list")}
    subject = config.kwargs.get("column") or ", ".join(config.kwargs.get("column_list", [])) or "table"
    limit = ", ".join(f"{k}={v}" for k, v in kwargs.items()) or "every row"
    return Finding(subject, config.type, limit, _observed(result), config.meta["severity"])


def _observed(result: Any) -> str:
    found = result.result
    if "unexpected_percent" in found and found["unexpected_percent"] is not None:
        examples = ", ".join(str(v) for v in found.get("partial_unexpected_list", [])[:3])
        return f"{found['unexpected_count']} of {found['element_count']} rows fail ({examples})"
    if "observed_value" in found:
        return f"found {found['observed_value']}"
    return _exception(result.exception_info or {})


def _exception(info: dict[str, Any]) -> str:
    """Return the first line of why a result has no value; GX nests one entry for each metric that failed."""
    entries = [info, *(v for v in info.values() if isinstance(v, dict))]
    messages = [str(e["exception_message"]) for e in entries if e.get("exception_message")]
    return messages[0].splitlines()[0] if messages else "could not be computed"
