"""The segments of users that are most likely to like a movie."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from movierate_spark.columns import UNKNOWN
from movierate_spark.disclosure import shown
from movierate_spark.intervals import t_errors

SEGMENTS = (("gender",), ("age_group",), ("occupation",), ("gender", "age_group"))
CROSSED = "gender x age_group"


def segments(rows: DataFrame, *, min_cell: int) -> pd.DataFrame:
    """A row per segment, the most likely first: by, segment, people, p_like, low, high.

    ``rows`` have a row per user with ``p_like`` and the user's attributes. A segment's ``p_like`` is the mean
    over its people. ``low`` to ``high`` is the 95% interval of that mean (Student's t), with people as the
    sample and the model taken as given. Segments of fewer than ``min_cell`` people are left out, and so are
    those from which such segments could be derived.
    """
    kinds = [
        F.struct(
            F.lit(" x ".join(names)).alias("by"),
            F.concat_ws(", ", *(F.coalesce(name, F.lit(UNKNOWN)) for name in names)).alias("segment"),
            *(F.coalesce(name, F.lit(UNKNOWN)).alias(name) for name in ("gender", "age_group")),
        )
        for names in SEGMENTS
    ]
    exploded = rows.select("p_like", F.explode(F.array(*kinds)).alias("kind"))
    attributes = (
        F.when(F.col("kind.by").isin(name, CROSSED), F.col(f"kind.{name}")).alias(name)
        for name in ("gender", "age_group")
    )
    grouped = exploded.groupBy("kind.by", "kind.segment", *attributes).agg(
        F.count("*").alias("people"), F.avg("p_like").alias("p_like"), F.stddev_samp("p_like").alias("spread")
    )
    table = grouped.toPandas().sort_values(["by", "segment"], ignore_index=True)
    table = _shown(table, min_cell=min_cell)
    people = table["people"]
    half = t_errors(people) * table["spread"] / np.sqrt(people)
    table = table.assign(
        low=(table["p_like"] - half).clip(lower=0), high=(table["p_like"] + half).clip(upper=1)
    )
    order = table.sort_values(["p_like", "by", "segment"], ascending=[False, True, True], ignore_index=True)
    return order[["by", "segment", "people", "p_like", "low", "high"]]


def _shown(table: pd.DataFrame, *, min_cell: int) -> pd.DataFrame:
    """The segments that may be shown. Those by gender and by age group are totals of those by both."""
    crossed = table["by"] == CROSSED
    single, both = table[~crossed], table[crossed]
    single = single[shown(single, within=(("by",),), min_cell=min_cell)]
    in_hidden_total = ~(both["gender"].isin(single["gender"]) & both["age_group"].isin(single["age_group"]))
    totals = ((), ("gender",), ("age_group",))
    both = both[shown(both, within=totals, min_cell=min_cell, hidden=in_hidden_total)]
    return pd.concat([single, both], ignore_index=True)
