"""Figures about the coefficients: odds ratios, and the choice of the penalty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from movierate_spark.intervals import NORMAL_ERRORS
from movierate_spark.report import charts
from movierate_spark.report.page import Figure
from movierate_spark.report.wording import words
from movierate_spark.storage.documents import Coefficient, Manifest, PenaltyLoss

STRONGEST = 30


def coefficient_steps(coefficients: Sequence[Coefficient]) -> pd.DataFrame:
    """A row per non-zero coefficient, strongest first, with the odds ratio for one step of its feature."""
    table = pd.DataFrame([each.content() for each in coefficients], columns=list(Coefficient.model_fields))
    used = table[table["coefficient"] != 0].reset_index(drop=True)
    is_indicator = used["indicator"].astype(bool)
    step = np.where(is_indicator, 1.0, used["deviation"].astype(float))
    error = used["standard_error"].astype(float)
    log_odds = used["coefficient"] * step
    table = pd.DataFrame(
        {
            "feature": used["feature"],
            "step": np.where(is_indicator, "yes against no", "one standard deviation"),
            "coefficient": used["coefficient"],
            "standard_error": error,
            "odds_ratio": np.exp(log_odds),
            "odds_ratio_low": np.exp(log_odds - NORMAL_ERRORS * error * step),
            "odds_ratio_high": np.exp(log_odds + NORMAL_ERRORS * error * step),
        }
    )
    strength = log_odds.abs()
    return table.iloc[np.lexsort((table["feature"], -strength))].reset_index(drop=True)


def odds_ratios(table: pd.DataFrame, manifest: Manifest) -> Figure:
    """The figure of the strongest coefficients; its table has all of them."""
    first = table.head(STRONGEST)
    chart = charts.rows(
        first["feature"], first["odds_ratio"], low=first["odds_ratio_low"], high=first["odds_ratio_high"],
        reference=1.0, log=True, title="Odds ratio (logarithmic)", form=".2f",
    )  # fmt: skip
    text = (
        "The factor by which one step of a feature multiplies the odds of liking, with all others fixed. A"
        " step is yes against no, or one standard deviation."
        f" The chart has the {len(first)} strongest of {len(table)}; the numbers have all of them."
    )
    if table["standard_error"].notna().any():
        text += (
            " The 95% intervals are approximate: they come from the observed information with the penalty,"
            " and treat ratings as independent."
        )
    elif manifest.params["elasticNetParam"] > 0:
        text += " There are no intervals with a lasso penalty."
    alt = (
        f"Dots by feature; the strongest is {first['feature'].iloc[0]}." if len(first) else "No coefficient."
    )
    return Figure("odds-ratios", "Coefficients as odds ratios", text, alt, chart, table)


def penalty_path(path: Sequence[PenaltyLoss]) -> Figure:
    """The figure of the log loss of each fold by penalty."""
    data = pd.DataFrame(
        [
            {
                "regParam": point.regParam,
                "elasticNetParam": point.elasticNetParam,
                "log_loss": point.log_loss,
                **{f"fold_{i + 1}": value for i, value in enumerate(point.folds)},
                "difference": point.difference,
                "standard_error": point.standard_error,
                "chosen": point.chosen,
            }
            for point in path
        ]
    ).sort_values(["elasticNetParam", "regParam"], ignore_index=True)
    folds = [name for name in data.columns if name.startswith("fold_")]
    series = []
    for mixing, part in data.groupby("elasticNetParam"):
        named = "" if data["elasticNetParam"].nunique() == 1 else f", elastic net {mixing:g}"
        for fold in ("log_loss", *folds):
            label = "mean" if fold == "log_loss" else words(fold)
            gap = part[fold] - part[fold].min()
            series.append((f"{label}{named}", part["regParam"].tolist(), gap.tolist()))
    positive = bool((data["regParam"] > 0).all())
    chart = charts.lines(
        series, x_title="regParam", y_title="Log loss above its minimum", log=(positive, False), markers=True,
        form=(None, ".4f"),
    )  # fmt: skip
    chosen = data[data["chosen"]].iloc[0]
    text = (
        f"Cross-validation over {len(folds)} folds, none of which trains on its future. Each penalty is"
        " compared with the best one on the same rows. The strongest within one standard error is chosen:"
        f" {chosen['regParam']:g}."
    )
    table = data.map(lambda value: f"{value:.5g}" if isinstance(value, float) else value)
    return Figure(
        "penalty", "How the penalty was chosen", text, "Lines of log loss by penalty.", chart, data, table
    )
