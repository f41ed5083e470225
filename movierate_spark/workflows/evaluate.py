"""evaluate: a bundle's predictions for ratings it was not trained on, their metrics and a report."""

from __future__ import annotations

from pyspark.sql import DataFrame

from movierate_spark import schemas
from movierate_spark.config import Settings
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.evaluation.ablation import ablation
from movierate_spark.evaluation.histogram import histogram_by_model
from movierate_spark.evaluation.leakage import leakage_cost
from movierate_spark.evaluation.model_metrics import AGAINST, for_metrics, model_metrics
from movierate_spark.evaluation.window import EvaluationWindow, check_models, predictions, predictions_table
from movierate_spark.features.rows import before
from movierate_spark.model.bundle import Bundle
from movierate_spark.progress import Progress
from movierate_spark.report import Report, evaluation_report
from movierate_spark.report.folder import REPORT_FILES, check_free, leave_report
from movierate_spark.session import persisted
from movierate_spark.storage.attempts import attempt_to_write
from movierate_spark.storage.commits import commit
from movierate_spark.storage.documents import Metrics
from movierate_spark.storage.files import replace_json
from movierate_spark.storage.folders import table_to_write
from movierate_spark.storage.lake import Lake
from movierate_spark.storage.locations import Location
from movierate_spark.storage.opened_table import OpenedTable

PREDICTIONS = "predictions"


def evaluate_model(
    bundle: Bundle,
    lake: Lake,
    settings: Settings,
    progress: Progress,
    *,
    target: Location,
    window: EvaluationWindow,
    against: Bundle | None = None,
    with_leakage_cost: bool = False,
    with_ablation: bool = False,
) -> Metrics:
    """Evaluate a bundle, and ``against`` another one on the same rows; write predictions, report and metrics.

    The metrics are written last, with the version of the predictions table from which they were computed.

    Raises:
        InputError: there are no ratings to evaluate, a model was trained on some of them, the two models have
            different definitions of liked, or ``target`` has other content.
        MovierateError: the number of predictions written differs from the number evaluated.
        ConflictError: another run has published predictions meanwhile.
    """
    lake = before(lake, window.until)
    other = against
    check_free(target, {"metrics.json", PREDICTIONS, *REPORT_FILES})
    table = table_to_write(target / PREDICTIONS, "out", schemas.PREDICTIONS)
    overlap = check_models(window, bundle, other)
    with persisted(predictions(lake, bundle, window)) as predicted:
        with progress.step(f"predict ratings from {window.since.isoformat()} on"):
            if not predicted.count():
                least = window.min_user_history
                of_whom = f" of users with at least {least} earlier ones" if least else ""
                raise InputError(
                    f"{window.since.isoformat()}: no ratings{of_whom} to evaluate in {lake.path}",
                    argument="since",
                )
        theirs = None if other is None else for_metrics(predictions(lake, other, window), other)
        content = model_metrics(predicted, bundle, theirs, settings, progress)
        if other is not None:
            content[AGAINST] |= {"model_version": other.version}
        if with_leakage_cost:
            content["leakage_cost"] = leakage_cost(lake, bundle, window.since, settings, progress)
        if with_ablation:
            content["ablation"] = ablation(lake, bundle, predicted, settings, progress)
        document = Metrics.new(**content, model_version=bundle.version, **window.described(), overlap=overlap)
        with progress.step(f"write {target}"):
            page = _page(document, predicted, bundle, settings)
            return _leave_evaluation(table, predictions_table(predicted, bundle), document, page)


def _page(document: Metrics, predicted: DataFrame, bundle: Bundle, settings: Settings) -> Report:
    return evaluation_report(
        document,
        bundle.manifest,
        histogram=histogram_by_model(predicted, bundle),
        min_cell=settings.report.min_cell,
    )


def _leave_evaluation(table: OpenedTable, rows: DataFrame, metrics: Metrics, page: Report) -> Metrics:
    """Publish the predictions, then the report, then the metrics that name the predictions' version."""
    target = table.path.parent
    with attempt_to_write(rows, table.path, schemas.PREDICTIONS) as attempt:
        if attempt.rows != metrics.rows:
            raise MovierateError(
                f"{table.path}: {attempt.rows} predictions written, {metrics.rows} measured: did the lake"
                " change?"
            )
        published = metrics.model_copy(update={"predictions_version": commit(attempt, to=table)})
        leave_report(target, page)
        replace_json(target / "metrics.json", published.content())
    return published
