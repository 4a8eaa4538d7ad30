"""Runs Great Expectations over a data frame of pandas or Spark, and keeps the result with its Data Docs.

In Spark, Great Expectations computes counts: one aggregate for all rules on one column, one aggregate each for rules on several
columns or rows. A second pass finds examples, only for expectations with failing rows.

Layout below the folder of Data Docs: a person opens `<fleet>/site/index.html`. `<fleet>/results` holds the results of every run as
JSON, so that the pages of old runs stay.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from expectations.data_docs import Spans, spans_in_spark, spans_of, write_indexes, write_page
from expectations.rows.spark_aside import WHICH
from expectations.suite import columns_of

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

    from expectations.suite import Expected, Severity

    Frame: TypeAlias = pd.DataFrame | DataFrame


_PLACE = "place"  # in an expectation's meta: its position in the suite
_WITH_EXAMPLES = {"result_format": "SUMMARY", "partial_unexpected_count": 20}
_COUNTS = {"result_format": "BASIC", "partial_unexpected_count": 0}


@dataclass(frozen=True)
class Finding:
    """One failed expectation: the limit, the observed value, and the severity."""

    subject: str
    expectation: str
    limit: str
    observed: str
    severity: Severity

    def __str__(self) -> str:
        """The finding as one line."""
        return f"{self.subject} {self.expectation}: {self.observed}, expected {self.limit}"


@dataclass(frozen=True)
class Validation:
    """The result of one suite over one batch; `page` is its own page in Data Docs.

    `to_set_aside` are the expectations of severity `quarantine` that some rows fail within the limit. `failing` are those that rows
    fail beyond the limit, and critical ones.
    """

    checked: int
    findings: tuple[Finding, ...]
    page: str
    to_set_aside: tuple[Expected, ...] = ()
    failing: tuple[Expected, ...] = ()


class DataDocs:
    """The Data Docs of one fleet. `validate` adds validations, `build` writes the pages."""

    def __init__(self, folder: Path, fleet: str, url: str | None = None) -> None:
        """`url` is the HTTP address of the folder, None if the folder is not served."""
        self._site, self._fleet, self._root = folder / fleet / "site", fleet, url or folder.as_uri()
        self._context = _context(folder / fleet / "results")
        self._done: list[tuple[Any, Spans]] = []

    @property
    def index(self) -> str:
        """URI of the page that lists all runs."""
        return f"{self._root.rstrip('/')}/{self._fleet}/site/index.html"

    def validate(self, suite_name: str, expected: Sequence[Expected], frame: Frame, run_name: str) -> Validation:
        """Run the expectations over all rows of `frame`; keep at most 20 examples of failing rows."""
        import great_expectations as gx
        import pandas as pd
        from great_expectations.core.run_identifier import RunIdentifier

        small = isinstance(frame, pd.DataFrame)
        suite, run = self._context.suites.add_or_update(_suite(suite_name, expected)), RunIdentifier(run_name=run_name)
        definition = gx.ValidationDefinition(name=suite_name, data=self._rows(suite_name, frame), suite=suite)
        result = self._context.validation_definitions.add_or_update(definition).run(
            batch_parameters={"dataframe": frame}, result_format=_WITH_EXAMPLES if small else _COUNTS, run_id=run
        )
        if isinstance(frame, pd.DataFrame):
            spans = spans_of(frame)
        else:
            self._add_examples(result, expected, frame)
            spans = spans_in_spark(frame, {name for e in expected for name in columns_of(e)})
        self._done.append((result, spans))
        aside = [expected[_place(r)] for r in result.results if r.success and r.result.get("unexpected_count")]
        failing = [expected[_place(r)] for r in result.results if not r.success and r.result.get("unexpected_count")]
        return Validation(
            len(result.results),
            tuple(_finding(r) for r in result.results if not r.success),
            self._page(suite_name, run_name),
            tuple(e for e in aside if e[2] == "quarantine"),
            tuple(e for e in failing if e[2] != "warning"),
        )

    def failing(self, expected: Sequence[Expected], frame: pd.DataFrame) -> list[list[int]]:
        """For each expectation on rows, the positions of the failing rows in `frame`; nothing is written."""
        batch = self._batch(frame.reset_index(drop=True))
        found = batch.validate(_suite("failing", expected), result_format={"result_format": "COMPLETE"})
        places = {_place(r): r.result["unexpected_index_list"] for r in found.results}
        return [places[i] for i in range(len(expected))]

    def failing_in_spark(self, expected: Sequence[Expected], frame: DataFrame) -> DataFrame:
        """The failing rows, once for each expectation on rows that they fail; column `WHICH` has its position in `expected`."""
        from functools import reduce

        from great_expectations.execution_engine import SparkDFExecutionEngine
        from pyspark.sql import functions as f

        engine = SparkDFExecutionEngine(spark=frame.sparkSession, persist=False)
        engine.load_batch_data("failing", frame)
        found = []
        for i, expectation in enumerate(_suite("failing", expected).expectations):
            condition, domain = _unexpected(expectation, engine)
            rows = engine.get_domain_records(domain).withColumn(WHICH, condition).where(f.col(WHICH))
            found.append(rows.withColumn(WHICH, f.lit(i)))
        return reduce(lambda a, b: a.unionByName(b), found)

    def _add_examples(self, result: Any, expected: Sequence[Expected], frame: DataFrame) -> None:
        """Put examples into a result that has only counts, here and in the store."""
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        some_fail = [r for r in result.results if r.result.get("unexpected_count")]
        if not some_fail:
            return
        suite = _suite("examples", [expected[_place(r)] for r in some_fail])
        seen = {_place(r): r.result for r in self._batch(frame).validate(suite, result_format=_WITH_EXAMPLES).results}
        for i, r in enumerate(some_fail):
            r.result = seen[i]
        identifier = ValidationResultIdentifier(
            ExpectationSuiteIdentifier(result.suite_name), result.meta["run_id"], result.batch_id
        )
        self._context.validation_results_store.set(identifier, result)

    def _batch(self, frame: Frame) -> Any:
        return self._rows("failing", frame).get_batch(batch_parameters={"dataframe": frame})

    def _rows(self, name: str, frame: Frame) -> Any:
        """A batch definition for whole data frames of this kind."""
        import pandas as pd

        sources = self._context.data_sources
        if isinstance(frame, pd.DataFrame):
            source = sources.add_or_update_pandas("lake")
        else:
            source = sources.add_or_update_spark(
                "lake in Spark", persist=False
            )  # reading again is cheaper than keeping rows
        return source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("rows")

    def build(self) -> None:
        """Write the pages of the validations made here, and the index of all runs; older pages are not changed."""
        for result, spans in self._done:
            write_page(self._site, self._fleet, result, spans)
        write_indexes(self._site, self._fleet)

    def _page(self, suite_name: str, run_name: str) -> str:
        return f"{self._root.rstrip('/')}/{self._fleet}/site/validations/{suite_name}/{run_name}"


def _context(results: Path) -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # GX reads this at import; it then sends nothing to anybody
    logging.getLogger("great_expectations").setLevel(logging.WARNING)  # below that, one line for each registered method
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
        )  # GX has no such severity; beyond the limit it stops the run
        meta = {_PLACE: place, "severity": severity}
        # for a pair with one null, pandas reports a failure and Spark none: here such a pair is not judged
        pair = {"ignore_row_if": "either_value_is_missing"} if {"column_A", "column_B"} <= kwargs.keys() else {}
        configuration = ExpectationConfiguration(kind, {**pair, **kwargs}, meta=meta, severity=known)
        suite.add_expectation_configuration(configuration)
    return suite


def _place(result: Any) -> int:
    """The position of a result's expectation in its suite."""
    return int(result.expectation_config.meta[_PLACE])


def _unexpected(expectation: Any, engine: Any) -> tuple[Column, dict[str, Any]]:
    """Great Expectations' own condition for a failing row, and the rows to which the condition applies."""
    from great_expectations.validator.metric_configuration import MetricConfiguration
    from great_expectations.validator.metrics_calculator import MetricsCalculator

    needed = expectation.get_validation_dependencies(engine, {"result_format": {"result_format": "BOOLEAN_ONLY"}})
    counted = needed.get_metric_configuration(f"{expectation.map_metric}.unexpected_count")
    asked = MetricConfiguration(
        f"{expectation.map_metric}.condition", counted.metric_domain_kwargs, counted.metric_value_kwargs
    )
    condition, domain, accessor = MetricsCalculator(engine).get_metric(asked)
    return condition, {**domain, **accessor}


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    kwargs = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "column", "column_list", "ignore_row_if")}
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
    """The first line of the reason why a result has no value; GX nests one entry for each failed metric."""
    entries = [info, *(v for v in info.values() if isinstance(v, dict))]
    messages = [str(e["exception_message"]) for e in entries if e.get("exception_message")]
    return messages[0].splitlines()[0] if messages else "could not be computed"
