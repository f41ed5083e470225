"""The command line: arguments to settings to a session to one call into the pipeline."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pyspark.sql import SparkSession
from rich.console import Console
from typer.exceptions import TyperException

from movierate_spark import demo as demonstration
from movierate_spark import doctor as examination
from movierate_spark import pipeline
from movierate_spark.bundle import model_input
from movierate_spark.config import Settings, load_settings
from movierate_spark.display import ledger_lines, scored_lines, show_audience, show_metrics, show_runs
from movierate_spark.errors import InputError, MovierateError
from movierate_spark.failures import described
from movierate_spark.lake import lake_input
from movierate_spark.progress import Reporter
from movierate_spark.readers import TABLES
from movierate_spark.runs import RunRecord, read_records, recorded
from movierate_spark.session import build_session, local_properties
from movierate_spark.simulate import simulate as make_data
from movierate_spark.times import parse_time

app = typer.Typer(
    name="movierate",
    help="How likely is a user to like a movie? From three rating files to honest scores, on Spark.",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)


class Format(StrEnum):
    """Ways in which the three files are delivered."""

    AUTO = "auto"
    ML_1M = "ml-1m"
    ML_100K = "ml-100k"
    CSV = "csv"
    PARQUET = "parquet"


class SimulatedFormat(StrEnum):
    """Ways in which simulated files are written."""

    ML_1M = "ml-1m"


ConfigOption = Annotated[
    list[Path] | None,
    typer.Option("--config", metavar="FILE.toml", help="Settings on top of the defaults; later files win."),
]
LakeOption = Annotated[Path, typer.Option("--lake", metavar="DIR", help="The prepared tables.")]
ModelOption = Annotated[Path, typer.Option("--model", metavar="DIR", help="The model's bundle.")]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="T", help="Only ratings before T: epoch seconds or ISO 8601 (UTC)."),
]


class Run:
    """What every command needs: settings, a session while it works, and somewhere to speak."""

    profile: Literal["local", "cluster"] = "local"

    def __init__(self, command: str, config: Sequence[Path] | None) -> None:
        self.command = command
        self.settings: Settings = load_settings(config or (), profile=self.profile)
        self.report = Reporter()
        self.out = Console(highlight=False, soft_wrap=True)

    @contextmanager
    def spark(self) -> Iterator[SparkSession]:
        """A session for the block; ``spark-submit`` has its own master and memory."""
        spark_settings = self.settings.spark
        properties = dict(spark_settings.properties)
        if self.profile == "local":
            machine = local_properties(cores=spark_settings.cores, driver_memory=spark_settings.driver_memory)
            properties = machine | properties
        session = build_session(f"movierate {self.command}", properties)
        try:
            yield session
        finally:
            session.stop()

    def recorded(self, target: Path) -> AbstractContextManager[RunRecord]:
        """A run record for the block to fill, left in ``target``."""
        return recorded(target, self.command, self.settings, self.report.done)

    def say(self, line: str) -> None:
        """A line of the result."""
        self.out.print(line, markup=False)

    def say_all(self, lines: Iterable[str]) -> None:
        """The lines of the result."""
        for line in lines:
            self.say(line)


@app.command()
def prepare(
    source: Annotated[Path, typer.Option("--input", metavar="DIR", help="The folder of the three files.")],
    lake: LakeOption,
    format_: Annotated[Format, typer.Option("--format", help="How the files are written.")] = Format.AUTO,
    expect_rows: Annotated[
        list[str] | None,
        typer.Option("--expect-rows", metavar="TABLE=N", help="Refuse a delivery of other size; repeatable."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Prepare again what was prepared from the same files.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check, clean and store the three files; every row is accounted for in ledger.json."""
    delivered = pipeline.Delivered(source, format_.value, _sizes(expect_rows or ()), force)
    run = Run("prepare", config)
    with run.spark() as spark, run.recorded(lake) as record:
        prepared = pipeline.prepare(spark, run.settings, run.report, delivered=delivered, target=lake)
        ledger = prepared.ledger
        record.outcome = "done" if prepared.is_new else "unchanged"
        record.inputs = {"input": str(source), "files": ledger["inputs"]}
        record.counts, record.outputs = ledger["tables"], {"versions": ledger["versions"]}
    run.say_all(ledger_lines(ledger))
    if not prepared.is_new:
        run.say("unchanged: prepared from the same files before (--force does it again)")
    run.say(f"lake: {lake}")


@app.command()
def explore(
    lake: LakeOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and its tables go.")],
    config: ConfigOption = None,
) -> None:
    """Show what is in the lake and who likes what, in a report to look at."""
    run = Run("explore", config)
    with run.spark() as spark, run.recorded(out) as record:
        record.inputs = lake_input(lake)
        totals = pipeline.explore_lake(spark, run.settings, run.report, source=lake, target=out)
        record.counts = {name: totals[name] for name in ("ratings", "people", "movies")}
    run.say("{ratings} ratings by {people} people of {movies} movies".format(**totals))
    run.say(f"report: {out / 'report.html'}")


@app.command()
def train(
    lake: LakeOption, model: ModelOption, until: UntilOption = None, config: ConfigOption = None
) -> None:
    """Fit the model on ratings before T, choose its penalty by cross-validation, and measure it."""
    end = _time(until, "--until")
    run = Run("train", config)
    with run.spark() as spark, run.recorded(model) as record:
        record.inputs = lake_input(lake)
        bundle = pipeline.train_model(spark, run.settings, run.report, source=lake, target=model, until=end)
        record.counts, record.outputs = {"trained": bundle.manifest["training"]["rows"]}, model_input(model)
    training = bundle.manifest["training"]
    run.say(f"trained on {training['rows']} ratings before {training['until']}")
    run.say(f"measured on ratings from {training['test_from']} on, which the measured model had not seen")
    show_metrics(run.out, bundle.manifest["metrics"])
    run.say(f"bundle: {model} (version {bundle.version})")


@app.command()
def evaluate(
    lake: LakeOption,
    model: ModelOption,
    since: Annotated[
        str,
        typer.Option("--since", metavar="T", help="Ratings from T on: epoch seconds or ISO 8601 (UTC)."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where report.html and metrics.json go.")],
    until: UntilOption = None,
    min_user_history: Annotated[
        int,
        typer.Option("--min-user-history", metavar="N", min=0, help="Only users with N earlier ratings."),
    ] = 0,
    allow_overlap: Annotated[
        bool, typer.Option("--allow-overlap", help="Measure on ratings the model was trained on, too.")
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option("--against", metavar="DIR", help="Another bundle, measured on the same rows."),
    ] = None,
    leakage_cost: Annotated[
        bool,
        typer.Option("--leakage-cost", help="Also measure what a random split and looking ahead would buy."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Measure a bundle on ratings it has not seen, beside simple baselines on the same rows."""
    start, end = _time(since, "--since"), _time(until, "--until")
    if start is None or (end is not None and end <= start):
        raise InputError(f"--until {until} is not after --since {since}")
    run = Run("evaluate", config)
    with run.spark() as spark, run.recorded(out) as record:
        record.inputs = lake_input(lake) | model_input(model)
        metrics = pipeline.evaluate_model(
            spark,
            run.settings,
            run.report,
            source=lake,
            model=model,
            target=out,
            measured=pipeline.Measured(start, end, min_user_history, allow_overlap),
            against=against,
            with_leakage_cost=leakage_cost,
        )
        record.counts = {"evaluated": metrics["rows"]}
    show_metrics(run.out, metrics)
    run.say(f"report: {out / 'report.html'}")
    run.say(f"metrics: {out / 'metrics.json'}")


@app.command()
def score(
    lake: LakeOption,
    model: ModelOption,
    requests: Annotated[
        str,
        typer.Option(
            "--requests",
            metavar="PATH",
            help="CSV or Parquet: user_id, movie_id, maybe at and run_date; {date} stands for the run date.",
        ),
    ],
    scores: Annotated[Path, typer.Option("--scores", metavar="DIR", help="The scores table.")],
    run_date: Annotated[
        str | None, typer.Option("--run-date", metavar="YYYY-MM-DD", help="The day these scores belong to.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="Backfill: the first run date.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="Backfill: the last run date.")
    ] = None,
    reasons: Annotated[
        int | None, typer.Option("--reasons", metavar="N", min=0, help="How many reasons to name; 0: none.")
    ] = None,
    expect_rows: Annotated[
        int | None, typer.Option("--expect-rows", metavar="N", min=0, help="Refuse a delivery of other size.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Score again what was scored from the same inputs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Score requests into their run date's partition, replacing what was there in one commit."""
    days = _days(run_date, first, last)
    run = Run("score", config)
    count = run.settings.score.reasons if reasons is None else reasons
    asked = pipeline.Asked(requests, days, count, force=force, expected_rows=expect_rows)
    with run.spark() as spark:
        results = pipeline.score_requests(
            spark, run.settings, run.report, source=lake, model=model, target=scores, asked=asked
        )
        found = list(_recorded_dates(run, results, scores, inputs=lake_input(lake) | model_input(model)))
    run.say_all(scored_lines(found))
    _check_deliveries(found, requests)
    run.say(f"scores: {scores}" + (f" (run_date={days[0]})" if len(days) == 1 else ""))


def _recorded_dates(
    run: Run, results: Iterator[pipeline.Scored], scores: Path, *, inputs: dict[str, Any]
) -> Iterator[pipeline.Scored]:
    """The results as they come, each that was looked into with a record of its own."""
    while True:
        with run.recorded(scores) as record:
            result = next(results, None)
            record.kept = result is not None and result.outcome in ("scored", "unchanged")
            if result is not None:
                record.inputs = {**inputs, "requests": result.requested}
                record.run_date = result.run_date.isoformat()
                record.outcome = "done" if result.outcome == "scored" else result.outcome
                record.counts = {"requests": dict(result.counts)}
                record.outputs = {"version": result.version}
        if result is None:
            return
        yield result


def _check_deliveries(found: Sequence[pipeline.Scored], requests: str) -> None:
    refused = [str(each.run_date) for each in found if each.outcome == "refused"]
    if refused:
        raise InputError(f"{len(refused)} of {len(found)} run dates were refused: {', '.join(refused)}")
    if all(each.outcome == "no delivery" for each in found):
        raise InputError(f"--requests {requests}: no delivery for any of the {len(found)} run dates")


@app.command()
def recommend(
    lake: LakeOption,
    model: ModelOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The table of recommendations.")],
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many movies for each user.")],
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Recommend again what was made from the same inputs.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Leave each user's best movies among those that he has not rated."""
    second = _time(at, "--at")
    run = Run("recommend", config)
    with run.spark() as spark, run.recorded(out) as record:
        record.inputs = lake_input(lake) | model_input(model)
        rows = pipeline.recommend_movies(
            spark,
            run.settings,
            run.report,
            source=lake,
            model=model,
            target=out,
            count=top,
            at=second,
            force=force,
        )
        record.outcome = "unchanged" if rows is None else "done"
        record.counts = {} if rows is None else {"recommended": rows}
    run.say(
        "unchanged: made from the same inputs before (--force does it again)"
        if rows is None
        else f"{rows} recommendations"
    )
    run.say(f"recommendations: {out}")


@app.command()
def audience(
    lake: LakeOption,
    model: ModelOption,
    movie: Annotated[int | None, typer.Option("--movie", metavar="ID", help="A movie of the lake.")] = None,
    genres: Annotated[
        str | None, typer.Option("--genres", metavar="A|B", help="Instead: the genres of a new movie.")
    ] = None,
    year: Annotated[int | None, typer.Option("--year", metavar="Y", help="The new movie's year.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="T", help="As of T; else as of the last rating.")
    ] = None,
    top: Annotated[int, typer.Option("--top", metavar="N", min=1, help="How many segments to list.")] = 15,
    config: ConfigOption = None,
) -> None:
    """List the segments of users most likely to like a movie, one of the lake's or a new one."""
    second = _time(at, "--at")
    if (movie is None) == (genres is None and year is None):
        raise InputError("name a movie with --movie, or a new one with --genres and --year")
    film = pipeline.Film(movie, [name for name in (genres or "").split("|") if name], year)
    run = Run("audience", config)
    with run.spark() as spark:
        found = pipeline.audience_of(
            spark, run.settings, run.report, source=lake, model=model, film=film, at=second
        )
    show_audience(run.out, found.head(top))


@app.command()
def runs(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Lakes, models, scores tables, report folders.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Whole records, a JSON object a line.")] = False,
) -> None:
    """List the runs that left something in these folders, oldest first."""
    records = read_records(folders)
    console = Console(highlight=False, soft_wrap=True)
    if as_json:
        for record in records:
            console.print(json.dumps(record), markup=False)
    else:
        show_runs(console, records)


@app.command()
def vacuum(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Lakes, models and scores tables.")],
    retention_hours: Annotated[
        float, typer.Option("--retention-hours", metavar="H", min=0, help="Younger files stay.")
    ] = 168,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
) -> None:
    """Remove attempts that were never published and versions replaced longer ago than the retention."""
    console = Console(highlight=False, soft_wrap=True)
    for folder in folders:
        removed = pipeline.vacuum(folder, retention_hours=retention_hours, dry_run=dry_run)
        for path in removed if dry_run else ():
            console.print(str(path), markup=False)
        what = "would be removed" if dry_run else "removed"
        console.print(f"{folder}: {len(removed)} files or folders {what}", markup=False)


@app.command()
def simulate(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    ratings: Annotated[int, typer.Option("--ratings", metavar="N", help="How many ratings.")],
    seed: Annotated[int, typer.Option("--seed", metavar="S", help="Another seed, other data.")] = 1,
    format_: Annotated[
        SimulatedFormat, typer.Option("--format", help="How the files are written.")
    ] = SimulatedFormat.ML_1M,
    config: ConfigOption = None,
) -> None:
    """Make ratings, users and movies of any size, with a known truth in truth.json."""
    del format_  # one so far; the option is here so that scripts can already say it
    run = Run("simulate", config)
    with run.spark() as spark, run.report.step(f"simulate {ratings} ratings"):
        truth = make_data(spark, out, ratings=ratings, seed=seed)
    run.say(f"best AUC any model could reach: {truth['best_auc']:.4f}")
    run.say(f"best from demographics, genres and time alone: {truth['best_auc_base']:.4f}")
    run.say(f"files: {out}")


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = Path("demo"),
    config: ConfigOption = None,
) -> None:
    """Every job in turn on simulated data."""
    run = Run("demo", config)
    with run.spark() as spark:
        result = demonstration.run(spark, run.settings, run.report, out)
    run.say_all(ledger_lines(result.ledger))
    show_metrics(run.out, result.metrics)
    run.say_all(result.lines())


@app.command()
def doctor() -> None:
    """Check Java, Python, PySpark, memory, time zone and paths: fine, or what to do."""
    console = Console(highlight=False, soft_wrap=True)
    findings = examination.examine()
    for finding in findings:
        state = "fine" if finding.fine else "MEND"
        remedy = "" if finding.fine else f": {finding.remedy}"
        console.print(f"{state}  {finding.what}: {finding.found}{remedy}", markup=False)
    if not all(finding.fine for finding in findings):
        raise typer.Exit(2)


def _sizes(stated: Iterable[str]) -> dict[str, int]:
    """How many rows each table is said to have."""
    sizes = {}
    for text in stated:
        table, _, number = text.rpartition("=")
        if table not in TABLES or not number.isascii() or not number.isdigit():
            raise InputError(f"--expect-rows {text}: give it as ratings=1000209 ({', '.join(TABLES)})")
        sizes[table] = int(number)
    return sizes


def _time(text: str | None, option: str) -> datetime | None:
    return None if text is None else parse_time(text, option, now=datetime.now(UTC))


def _days(run_date: str | None, first: str | None, last: str | None) -> list[date]:
    """One run date, or all from the first to the last."""
    if run_date is not None and first is None and last is None:
        return [_day(run_date, "--run-date")]
    if run_date is not None or first is None or last is None:
        raise InputError("name a day with --run-date, or several with --from and --to")
    begin, end = _day(first, "--from"), _day(last, "--to")
    if end < begin:
        raise InputError(f"--to {last} is before --from {first}")
    return [begin + timedelta(days=i) for i in range((end - begin).days + 1)]


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{option} {text}: give a day as YYYY-MM-DD") from error


def main(arguments: Sequence[str] | None = None, *, profile: Literal["local", "cluster"] = "local") -> None:
    """Run one command and exit: 0 done, 2 bad usage or input, 3 lost to another run, 1 failed."""
    Run.profile = profile
    logging.getLogger("py4j").setLevel(logging.CRITICAL)
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(_status(lambda: app(given, standalone_mode=False), given))


def _status(command: Callable[[], Any], given: Sequence[str]) -> int:
    name = f"movierate {given[0]}" if given else "movierate"
    try:
        return command() or 0
    except typer.Exit as exit_:
        return exit_.exit_code
    except TyperException as error:
        return _fail(name, f"{error.format_message()} (see {name} --help)", 2)
    except MovierateError as error:
        return _fail(name, str(error), error.exit_status)
    except KeyboardInterrupt:
        return _fail(name, "interrupted; nothing was published", 1)
    except Exception as error:
        return _fail(name, described(error), 1)


def _fail(name: str, message: str, status: int) -> int:
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{name}: {' '.join(message.split())}", markup=False
    )
    return status
