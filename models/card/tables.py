"""The tables of a model card, as text: candidates, metrics, data, provenance, size and speed, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aimaas.fleet import FleetSpec
from aimaas.training.report import Group, TrainReport
from models.card.plots import band_name
from models.families.candidates import settings_of


@dataclass(frozen=True)
class Table:
    """Header and rows of text; `numbers` means that all columns but the first hold numbers."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numbers: bool = True


def shown(value: float) -> str:
    """Return a number as text: four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def named(metric: str) -> str:
    """Return the display name of a metric."""
    return {"rmse": "RMSE", "mae": "MAE", "log_loss": "log loss"}.get(metric, metric)


def moment(at: datetime | None) -> str:
    """Return a time (UTC) to the minute."""
    return "not recorded" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"


def period(report: TrainReport) -> str:
    """Return the time from the first event of the training set's gold to the last one, by the devices' clocks."""
    return " to ".join(moment(at) for at in report.period) if report.period else "not recorded"


def tables_of(
    fleet: FleetSpec,
    report: TrainReport,
    size: int,
    speed: Mapping[int, float],
    read: Sequence[Table] = (),
    edges: Sequence[float] = (),
) -> list[Table]:
    """Return all tables; `size` of the ONNX file in bytes, `speed` in µs per row by batch, `read` the tables of its inputs.

    `edges` are the edges of the intervals' bands.
    """
    return [
        _candidates(report),
        _metrics(report),
        *_groups(report, edges),
        *read,
        *_forms(report),
        _cost(report, size, speed),
        _data(report),
        *_censoring(report),
        *_normalisation(report),
        _provenance(fleet, report),
        _settings(fleet, report),
    ]


def _candidates(report: TrainReport) -> Table:
    kind = named(report.error)
    rows = [
        (
            f"{c.name} (chosen)" if c.name == report.chosen else c.name,
            shown(c.cross_validated), f"{shown(min(c.folds))} to {shown(max(c.folds))}", shown(c.validation),
            f"{c.seconds:.1f}" if c.seconds else "–",
        )
        for c in report.candidates
    ]  # fmt: skip
    header = ("candidate", f"cross-validated {kind}", "lowest to highest fold", f"validation {kind}", "training, s")
    caption = (
        "Cross-validation is grouped by device. The validation error decides which candidate ships. A blend needs no training of "
        "its own."
    )
    return Table("Candidates", header, rows, caption)


def _metrics(report: TrainReport) -> Table:
    """Return metrics on the test devices with their resampling intervals, beside the metrics on the validation devices."""
    metrics = report.test.metrics if report.test else report.metrics
    resampled = report.test.resampled if report.test else {}
    before = report.validation.metrics if report.validation else {}
    rows = [
        (
            name, shown(value),
            f"{shown(resampled[name][0])} to {shown(resampled[name][1])}" if name in resampled else "",
            shown(before[name]) if name in before else "",
            shown(report.metrics[b]) if (b := f"baseline_{name}") in report.metrics else "",
        )
        for name, value in metrics.items()
    ]  # fmt: skip
    caption = (
        "The file that ships predicts the test devices. 95 % of resamplings of these devices lie between the two values. The fold "
        "models predict the validation devices."
    )
    header = (
        "metric",
        "test devices",
        "95 % of resamplings",
        "validation devices (fold models)",
        "always predicting the mean",
    )
    return Table("Metrics", header, rows, caption)


def _groups(report: TrainReport, edges: Sequence[float]) -> list[Table]:
    """Return errors by part of the rows; no table for a classification. Operating modes have a table of their own."""
    groups = [g for g in report.test.groups if g.by != "regime"] if report.test else []
    if not groups:
        return []
    rows = [
        (
            _part(g, edges), shown(g.rows), shown(g.devices), shown(g.rmse), shown(g.mae), shown(g.bias),
            "" if g.coverage is None else f"{g.coverage:.1%}",
            "" if g.low is None or g.high is None else f"{g.low:.1%} to {g.high:.1%}",
            "" if g.width is None else shown(g.width),
        )
        for g in groups
    ]  # fmt: skip
    header = (
        "part of the test rows", "rows", "devices", "RMSE", "MAE", "bias", "coverage", "95 % of resamplings", "width"
    )  # fmt: skip
    caption = (
        "Bias is the mean of predicted minus true. Coverage and width give each device the same weight within its part. "
        "Speeds of wear are thirds of the failed lives, by their length."
    )
    return [Table("Errors by part", header, rows, caption)]


def _part(group: Group, edges: Sequence[float]) -> str:
    if group.by == "band":
        return f"prediction {band_name(edges, int(group.name))}"
    by = {"rul": "true remaining life", "wear": "speed of wear"}
    return f"{by.get(group.by, group.by)} {group.name.replace('_', '–')}"


def _forms(report: TrainReport) -> list[Table]:
    """Return the forms of the chosen candidate; no table for reports from before there were forms."""
    rows = [
        (
            f"{f.name} (chosen)" if f.name == report.form else f.name,
            *("–" if value is None else shown(value) for value in (f.error, round(f.bytes / 1024), f.cost_us, f.us_1, f.us_1024)),
            f.verdict,
        )
        for f in report.forms
    ]  # fmt: skip
    header = (
        "form", named(report.error), "KiB", "counted cost, µs per row",
        "measured, µs per row at batch 1", "at batch 1,024", "verdict",
    )  # fmt: skip
    caption = (
        "Errors of the first fold's model in each form, on the devices that the fold held out and on the validation devices. The "
        "form with the smallest counted cost within gates.accuracy_allowance of the most accurate form ships, built from the "
        "final model."
    )
    return [Table("Forms", header, rows, caption)] if rows else []


def _cost(report: TrainReport, size: int, speed: Mapping[int, float]) -> Table:
    rows: list[Sequence[str]] = [("size of the ONNX file, KiB", shown(round(size / 1024)))]
    rows += [(f"microseconds per row, {batch:,} at once", shown(us)) for batch, us in speed.items()]
    rows += [
        (f"largest difference from scikit-learn{where}, share of the target's range", f"{report.metrics[name]:.1e}")
        for name, where in (("parity_max_rel", " on test rows"), ("parity_max_rel_probes", " on edge values"))
        if name in report.metrics
    ]
    rows.append(("seconds of training", f"{report.seconds:.1f}"))
    caption = "Inference alone, on one thread of the machine that trained. Features, decoding and transport are extra."
    return Table("Size and speed", ("", ""), rows, caption)


def _data(report: TrainReport) -> Table:
    rows = [(name, shown(c.devices), shown(c.rows), shown(c.failures)) for name, c in report.splits.items() if c.rows]
    return Table(
        "Data",
        ("devices for", "devices", "labelled rows", "failures"),
        rows,
        f"Period of the events: {period(report)}.",
    )


def _censoring(report: TrainReport) -> list[Table]:
    """Return the weighting of rows for censored lives; no table if every life ended in a failure."""
    found = report.censoring
    if found is None or found.failures == found.lives:
        return []
    rows = [
        ("lives, from one outcome to the next", shown(found.lives)),
        ("lives that are censored", f"{shown(found.lives - found.failures)} ({1 - found.failures / found.lives:.0%})"),
        ("censoring depends on", f"{found.clock} and readings" if found.by_readings else found.clock),
        ("rows without a label so far", shown(found.unknown)),
        ("rows dropped, because too few lives were observed for long enough", shown(found.cut)),
        ("largest weight", shown(found.largest_weight)),
        ("effective rows: rows of weight 1 with the same information", shown(round(found.effective_rows))),
    ]
    if report.resampled:
        rows.append(("candidates trained on rows drawn by weight", ", ".join(report.resampled)))
    caption = "Every figure and picture weights rows by the inverse probability that their label is known."
    return [Table("Labels under censoring", ("", ""), rows, caption)]


def _normalisation(report: TrainReport) -> list[Table]:
    """Return the effect of the operating settings on the channels; no table if there is none."""
    found = report.normalisation
    if found is None or found.explained is None:
        return []
    rows = [
        ("regimes, clusters of the operating settings", shown(found.regimes)),
        ("lines of the channels on the settings within each regime", "yes" if found.lines else "no"),
        ("share of the channels' variance that the settings explain", f"{found.explained:.1%}"),
    ]
    caption = "Removed from every channel before its features are computed. Lines are evaluated on unseen rows."
    return [Table("Normalisation", ("", ""), rows, caption)]


def _provenance(fleet: FleetSpec, report: TrainReport) -> Table:
    rows = [
        ("trained", moment(report.trained_at)),
        ("period of the events", period(report)),
        ("fleet file", f"{fleet.fleet}, version {report.fleet_version}"),
        ("training set", report.training_set),
        ("digest of its rows", report.digest),
        ("version of gold", str(report.gold_version)),
        ("feature plan", report.plan),
        ("fit of the normalisation", report.fit),
        ("code", report.code_version),
        ("seed", str(report.seed)),
        ("SHA-256 of the model", report.sha256),
    ]
    return Table("Provenance", ("", ""), rows, "These values are enough to build the same bytes again.", numbers=False)


def _settings(fleet: FleetSpec, report: TrainReport) -> Table:
    rows = []
    for name, given in fleet.training.candidates.items():
        settings = settings_of(fleet, name).items()
        rows.append((name, ", ".join(f"{k} {_value(v)}{' (set)' if k in given else ''}" for k, v in settings)))
    caption = f"{fleet.training.folds} folds. Options without the mark (set) are defaults."
    return Table("Settings of the candidates", ("candidate", "settings"), rows, caption, numbers=False)


def _value(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
