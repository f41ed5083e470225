"""How good probabilities are: every metric exact, computed in Spark for any number of groups at once.

All metrics are functions of the *score curve*: for each distinct probability of a group, how many
liked and disliked rows have it, and how many have a higher one. Liked is the positive class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from movierate_spark.evaluation.metric_names import ECE_BINS, METRICS, PIECES, SMALLEST_PROBABILITY
from movierate_spark.storage.documents import Figures, Measurement

SIDES = ("liked", "disliked")
SEGMENTS = ("gender", "age_group", "occupation", "genre")
MODEL = "model"


def score_curve(rows: DataFrame, *keys: str) -> DataFrame:
    """One row per (keys, probability): ``liked``, ``disliked``, and both with a higher probability.

    ``rows`` have the keys (never null), ``probability`` and ``label`` (1 or true: liked). Ranks within
    a thousandth of the probability come from a window, those above it from small totals, so that no
    task sorts a whole group; one shuffle serves the counts and the window.
    """
    liked = F.col("label").cast("boolean")
    pieces = rows.select(
        *keys, "probability", liked.alias("is_liked"), F.floor(F.col("probability") * PIECES).alias("piece")
    )
    counts = F.count_if("is_liked").alias("liked"), F.count_if(~F.col("is_liked")).alias("disliked")
    scores = pieces.repartition(*keys, "piece").groupBy(*keys, "piece", "probability").agg(*counts)
    within = Window.partitionBy(*keys, "piece").orderBy(F.desc("probability"))
    within = within.rowsBetween(Window.unboundedPreceding, -1)
    offsets = _offsets(pieces.groupBy(*keys, "piece").agg(*counts), *keys)
    return scores.join(F.broadcast(offsets), [*keys, "piece"]).select(
        *keys,
        "probability",
        "liked",
        "disliked",
        *((F.col(f"higher_{side}") + _total(side, within)).alias(f"{side}_above") for side in SIDES),
        *(f"all_{side}" for side in SIDES),
    )


def _offsets(totals: DataFrame, *keys: str) -> DataFrame:
    """For each piece: what lies in higher pieces of its group, and in the whole group."""
    group = Window.partitionBy(*keys)
    higher = group.orderBy(F.desc("piece")).rowsBetween(Window.unboundedPreceding, -1)
    return totals.select(
        *keys,
        "piece",
        *(_total(side, higher).alias(f"higher_{side}") for side in SIDES),
        *(_total(side, group).alias(f"all_{side}") for side in SIDES),
    )


def _total(column: str, window: Any) -> Column:
    return F.coalesce(F.sum(column).over(window), F.lit(0))


def best_threshold(rows: DataFrame, *, maximise: Literal["accuracy", "f1"]) -> float:
    """The probability from which rows are called liked that is best on these rows.

    Of equally good ones that closest to 0.5, then the smaller. Where calling nothing liked is best,
    1.0: no probability of a logistic model reaches it.
    """
    curve = score_curve(rows.withColumn("all", F.lit(0)), "all")
    tp = F.col("liked_above") + F.col("liked")
    fp = F.col("disliked_above") + F.col("disliked")
    accuracy = (tp + F.col("all_disliked") - fp) / (F.col("all_liked") + F.col("all_disliked"))
    f1 = 2 * tp / (tp + fp + F.col("all_liked"))
    value = accuracy if maximise == "accuracy" else f1
    nothing = F.col("all_disliked") / (F.col("all_liked") + F.col("all_disliked"))
    best = (
        curve.select("probability", value.alias("value"), nothing.alias("nothing"))
        .sort(F.desc("value"), F.abs(F.col("probability") - 0.5), "probability")
        .head()
    )
    if best is None or (maximise == "accuracy" and best["nothing"] > best["value"]):
        return 1.0
    return float(best["probability"])


def metrics_by(rows: DataFrame, *keys: str) -> list[dict[str, Any]]:
    """Metrics of each group: one dict per key combination, with the keys, counts and :data:`METRICS`.

    ``rows`` have the keys, ``probability``, ``label`` and ``decision_threshold``, the same in all of a group.
    A metric that is not defined (AUC of a single class, precision where nothing is called liked)
    is None. Formulas: AUC is the chance that a liked row is ranked above a disliked one, ties half
    (Hanley and McNeil 1982); AUC-PR is average precision, the sum of precision over steps in recall;
    ECE is the mean distance of like rate and probability over 20 bins of equal count, weighted by
    rows (Naeini et al. 2015).
    """
    curve = score_curve(rows, *keys, "decision_threshold")
    bins = curve.groupBy(*keys, "decision_threshold", _bin().alias("bin")).agg(*_sums())
    totals = [F.sum(name).alias(name) for name in _SUMS]
    miscalibrated = F.sum(F.abs(F.col("positives") - F.col("expected"))).alias("miscalibrated")
    groups = bins.groupBy(*keys, "decision_threshold").agg(*totals, miscalibrated).sort(*keys).collect()
    return [{**{key: row[key] for key in keys}, **_metrics(row)} for row in groups]


def _bin() -> Column:
    """Which of 20 bins of equal count a probability falls into; ties share the bin of their middle."""
    here = F.col("liked") + F.col("disliked")
    middle = F.col("liked_above") + F.col("disliked_above") + here / 2
    return F.floor(middle * ECE_BINS / (F.col("all_liked") + F.col("all_disliked")))


_SUMS = (
    "positives",
    "negatives",
    "expected",
    "ordered_pairs",
    "precision_steps",
    "log_loss",
    "squared_error",
    "tp",
    "fp",
)


def _sums() -> list[Column]:
    p = F.least(
        F.greatest(F.col("probability"), F.lit(SMALLEST_PROBABILITY)), F.lit(1 - SMALLEST_PROBABILITY)
    )
    liked, disliked = F.col("liked"), F.col("disliked")
    above, liked_above = F.col("liked_above") + F.col("disliked_above"), F.col("liked_above")
    predicted = F.col("probability") >= F.col("decision_threshold")
    sums = {
        "positives": liked,
        "negatives": disliked,
        "expected": (liked + disliked) * F.col("probability"),
        "ordered_pairs": disliked * (liked_above + liked / 2),
        "precision_steps": liked * (liked_above + liked) / (above + liked + disliked),
        "log_loss": -liked * F.log(p) - disliked * F.log(1 - p),
        "squared_error": liked * F.pow(1 - p, F.lit(2)) + disliked * F.pow(p, F.lit(2)),
        "tp": F.when(predicted, liked).otherwise(0),
        "fp": F.when(predicted, disliked).otherwise(0),
    }
    return [F.sum(sums[name]).alias(name) for name in _SUMS]


def _metrics(sums: Row) -> dict[str, Any]:
    positives, negatives, tp, fp = sums["positives"], sums["negatives"], sums["tp"], sums["fp"]
    rows = positives + negatives
    return {
        "rows": rows,
        "positives": positives,
        "auc": _ratio(sums["ordered_pairs"], positives * negatives),
        "auc_pr": _ratio(sums["precision_steps"], positives),
        "log_loss": sums["log_loss"] / rows,
        "brier": sums["squared_error"] / rows,
        "ece": sums["miscalibrated"] / rows,
        "accuracy": (tp + negatives - fp) / rows,
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, positives),
        "f1": _ratio(2 * tp, tp + fp + positives),
        "decision_threshold": sums["decision_threshold"],
        "confusion": {"tp": tp, "fp": fp, "tn": negatives - fp, "fn": positives - tp},
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def difference(one: float | None, other: float | None) -> float | None:
    """One metric minus another; None where either is not defined."""
    return None if one is None or other is None else one - other


def evaluate(
    predictions: DataFrame, *, decision_threshold: float, baseline_thresholds: Mapping[str, float]
) -> Measurement:
    """Metrics of the model overall, by segment and by who is new, and of the baselines on the same rows.

    ``predictions`` have a row per rating: ``label``, ``p_like``, the segments' attributes,
    ``user_known``, ``movie_known`` and a probability column named after each baseline. Unknown
    attributes are a segment of their own; a film counts in each of its genres.
    """
    models = {MODEL: ("p_like", decision_threshold)}
    models |= {name: (name, cut) for name, cut in baseline_thresholds.items()}
    groups = metrics_by(by_group(predictions, models), "scope", "value", "model")
    by_key = {
        (group["scope"], group["value"], group["model"]): {
            name: x for name, x in group.items() if name not in ("scope", "value", "model")
        }
        for group in groups
    }
    segments = {
        segment: {value: x for (scope, value, _), x in by_key.items() if scope == segment}
        for segment in SEGMENTS
    }
    cold_start = {
        value: {
            **by_key["cold_start", value, MODEL],
            "baselines": {name: by_key["cold_start", value, name] for name in baseline_thresholds},
        }
        for scope, value, model in by_key
        if scope == "cold_start" and model == MODEL
    }
    baselines = {name: by_key["all", "all", name] for name in baseline_thresholds}
    groups_of_model = {"segments": segments, "baselines": baselines, "cold_start": cold_start}
    return Measurement.model_validate(by_key["all", "all", MODEL] | groups_of_model)


def by_group(predictions: DataFrame, models: Mapping[str, tuple[str, float]]) -> DataFrame:
    """A row per prediction, model and group that it counts in.

    Columns ``user_id, label, scope, value, model, probability, decision_threshold``; ``models`` name the
    column of each one's probability and its threshold. Only :data:`MODEL` is counted by segment.
    """
    state = F.concat_ws(
        "/",
        F.when(F.col("user_known"), "known user").otherwise("new user"),
        F.when(F.col("movie_known"), "known movie").otherwise("new movie"),
    )
    groups: list[Column] = []
    for model, (column, decision_threshold) in models.items():
        groups.append(_group("all", F.lit("all"), model, column, decision_threshold))
        groups.append(_group("cold_start", state, model, column, decision_threshold))
    column, decision_threshold = models[MODEL]
    groups += [
        _group(segment, F.coalesce(F.col(segment), F.lit("unknown")), MODEL, column, decision_threshold)
        for segment in ("gender", "age_group", "occupation")
    ]
    genres = F.coalesce(F.col("genres"), F.array().cast("array<string>"))
    named = F.when(F.size(genres) > 0, genres).otherwise(F.array(F.lit("unknown")))
    by_genre = F.transform(named, lambda genre: _group("genre", genre, MODEL, column, decision_threshold))
    exploded = F.explode(F.concat(F.array(*groups), by_genre)).alias("group")
    return predictions.select("user_id", "label", exploded).select("user_id", "label", "group.*")


def score_histogram(rows: DataFrame, *keys: str) -> DataFrame:
    """One row per (keys, hundredth of probability): ``liked``, ``disliked``, and ``expected`` likes.

    ``people`` is the lesser of how many people liked and how many did not. ``first`` and ``last`` are the
    hundredths' ends. ``rows`` have the keys, user_id, label and probability.
    """
    liked, p = F.col("label").cast("boolean"), F.col("probability")
    hundredth = F.least(F.floor(p * 100), F.lit(99))
    return (
        rows.groupBy(*keys, hundredth.alias("hundredth"))
        .agg(
            F.least(*(F.count_distinct(F.when(side, F.col("user_id"))) for side in (liked, ~liked))).alias(
                "people"
            ),
            F.count_if(liked).alias("liked"),
            F.count_if(~liked).alias("disliked"),
            F.sum(p).alias("expected"),
        )
        .select(
            *keys,
            (F.col("hundredth") / 100).alias("first"),
            ((F.col("hundredth") + 1) / 100).alias("last"),
            "people",
            "liked",
            "disliked",
            "expected",
        )
    )


def _group(scope: str, value: Column, model: str, column: str, decision_threshold: float) -> Column:
    return F.struct(
        F.lit(scope).alias("scope"),
        value.alias("value"),
        F.lit(model).alias("model"),
        F.col(column).alias("probability"),
        F.lit(float(decision_threshold)).alias("decision_threshold"),
    )


def comparison(metrics: Measurement, names: Sequence[str] = METRICS) -> dict[str, list[float | None]]:
    """The model's metrics beside those of each baseline, for a table."""
    sources: dict[str, Figures] = {MODEL: metrics, **metrics.baselines}
    return {label: [source.metric(name) for name in names] for label, source in sources.items()}
