"""The kernel's features by SQL windows and by pandas: for rows without nulls, derived channels and silences."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from aimaas.kernel.fit import Fit, channel_matrix
from aimaas.kernel.plan import FeaturePlan

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

RUN = ["device_id", "run"]


def sql_features(plan: FeaturePlan, fit: Fit, gold: DataFrame) -> DataFrame:
    """Return features, a column for each, beside device_id, run and order."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    rows = gold.select(*RUN, "order", *plan.readings, _regime(plan, fit).cast("int").alias("regime"))
    z = rows.select(*RUN, "order", *plan.readings[: plan.settings], *_standardised(plan, fit))
    ordered = Window.partitionBy(*RUN).orderBy("order")
    half, place = plan.window // 2, f.row_number().over(ordered)
    z = z.withColumn("age", place)
    found: dict[str, Column] = {}
    for name in plan.channels:
        c = f.col(f"`{name}`")
        for w in plan.windows:
            found[f"{name}.mean_{w}"] = f.avg(c).over(ordered.rowsBetween(1 - w, 0))
        found[f"{name}.deviation_{plan.window}"] = f.stddev_pop(c).over(ordered.rowsBetween(1 - plan.window, 0))
        newer, older = (
            f.avg(c).over(ordered.rowsBetween(*frame)) for frame in ((1 - half, 0), (1 - plan.window, -half))
        )
        found[f"{name}.slope_{plan.window}"] = f.coalesce(newer - older, f.lit(0.0))
        first = f.avg(f.when(f.col("age") <= plan.first, c)).over(ordered.rowsBetween(Window.unboundedPreceding, 0))
        found[f"{name}.from_first_{plan.first}"] = found[f"{name}.mean_{plan.windows[0]}"] - first
    others = {name: f.col(f"`{name}`") for name in (*plan.readings[: plan.settings], "age")}
    columns = [(found | others)[name].cast("float").alias(name) for name in plan.feature_names]
    return z.select(*RUN, "order", *columns)


def _regime(plan: FeaturePlan, fit: Fit) -> Column:
    """Return the index of the nearest centre."""
    from pyspark.sql import functions as f

    def distance(centre: tuple[float, ...]) -> Column:
        parts = zip(plan.readings, centre, fit.weights, strict=False)
        return reduce(lambda a, b: a + b, ((f.col(n) - c) * (f.col(n) - c) * (w * w) for n, c, w in parts), f.lit(0.0))

    all_of_them = f.array(*map(distance, fit.centres))
    return f.array_position(all_of_them, f.array_min(all_of_them))


def _standardised(plan: FeaturePlan, fit: Fit) -> list[Column]:
    from pyspark.sql import functions as f

    columns = []
    for c, name in enumerate(plan.channels):
        mean, scale = (
            f.element_at(f.array(*(f.lit(g[c]) for g in of)), f.col("regime")) for of in (fit.means, fit.scales)
        )
        columns.append(((f.col(name) - mean) * scale).alias(name))
    return columns


def pandas_features(plan: FeaturePlan, fit: Fit, rows: pd.DataFrame) -> pd.DataFrame:
    """Return features of rows in the order of (device_id, run, order), a column for each."""
    import pandas as pd

    raw = rows[list(plan.readings)].to_numpy(np.float64)
    difference = (raw[:, None, : plan.settings] - np.array(fit.centres)[None]) * np.array(fit.weights)
    regime = np.argmin((difference**2).sum(axis=2), axis=1)
    z = (channel_matrix(plan, raw) - np.array(fit.means)[regime]) * np.array(fit.scales)[regime]
    frame = pd.DataFrame(z, columns=list(plan.channels), index=rows.index)
    run = [rows[name] for name in RUN]
    age = frame.groupby(run, sort=False).cumcount() + 1

    def rolled(of: pd.DataFrame, window: int, what: str) -> pd.DataFrame:
        parts: Any = of.groupby(run, sort=False).rolling(window, min_periods=1)
        found = parts.std(ddof=0) if what == "std" else getattr(parts, what)()
        return found.droplevel([0, 1]).reindex(of.index)  # type: ignore[no-any-return]

    half, widest = plan.window // 2, plan.window
    blocks = {f"mean_{w}": rolled(frame, w, "mean") for w in plan.windows}
    blocks[f"deviation_{widest}"] = rolled(frame, widest, "std")
    newer, whole = rolled(frame, half, "sum"), rolled(frame, widest, "sum")
    older = (whole - newer).div((age.clip(upper=widest) - half).where(age > half), axis=0)
    blocks[f"slope_{widest}"] = (newer / half - older).where(age > half, 0.0)
    early = (
        frame.where(age <= plan.first, 0.0).groupby(run, sort=False).cumsum().div(age.clip(upper=plan.first), axis=0)
    )
    blocks[f"from_first_{plan.first}"] = blocks[f"mean_{plan.windows[0]}"] - early
    named = [block.add_suffix(f".{name}") for name, block in blocks.items()]
    return pd.concat([*named, rows[list(plan.readings[: plan.settings])], age.rename("age")], axis=1)[
        list(plan.feature_names)
    ]
