"""What commands print: the ledger as lines, metrics and lists as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from movierate_spark.evaluation.segments import comparison
from movierate_spark.progress import plain_console
from movierate_spark.storage.documents import (
    Ablation,
    DeliveryCounts,
    Figures,
    Ledger,
    Measurement,
    Metrics,
    OtherModel,
    RunRecord,
)
from movierate_spark.storage.run_records import StoredRecord

if TYPE_CHECKING:
    from movierate_spark.inputs.request_deliveries import RunDateOutcome
    from movierate_spark.workflows.demo import Demo

RUNS_WIDTH = 100
METRICS_SHOWN = ("auc", "log_loss", "accuracy", "precision", "recall", "f1", "brier", "ece")


def ledger_lines(ledger: DeliveryCounts) -> Iterator[str]:
    """One line per table: its counts, which add up to the rows read."""
    for name, counts in ledger.tables.items():
        rules = ", ".join(f"{rule} {n}" for rule, n in counts.by_rule.items())
        parts = [f"accepted {counts.accepted}"]
        parts += [f"rejected {counts.rejected} ({rules})"] if rules else []
        parts += [f"blank {counts.blank}"] if counts.blank else []
        parts += [f"superseded {counts.superseded}"] if counts.superseded else []
        beside = f"; re-rated {counts.re_rated}" if counts.re_rated else ""
        beside += f"; orphans {counts.orphans}" if counts.orphans else ""
        unknown = ", ".join(f"{column} {n}" for column, n in counts.unknown.items() if n)
        beside += f"; unknown: {unknown}" if unknown else ""
        yield f"{name}: read {counts.read} = {' + '.join(parts)}{beside}"


def held_line(ledger: Ledger) -> str:
    """What a lake holds. Orphans are how swapped columns and another lake's ratings show."""
    held = ", ".join(f"{counts.accepted} {name}" for name, counts in ledger.tables.items())
    orphans = ledger.tables["ratings"].orphans
    return held + (f"; orphans {orphans}" if orphans else "")


def scored_lines(outcomes: Iterable[RunDateOutcome]) -> Iterator[str]:
    """One line per run date: its counts, or why nothing was done. Then the number of dates by outcome."""
    by_day = sorted(outcomes, key=lambda each: each.run_date)
    several = len(by_day) > 1
    for each in by_day:
        day = f"{each.run_date}: " if several else ""
        match each.outcome:
            case "scored":
                yield f"{day}requests: read {{read}} = scored {{scored}} + rejected {{rejected}}".format(
                    **each.counts
                )
            case "unchanged":
                yield f"{day}unchanged: scored from the same inputs before (--force does it again)"
            case "no delivery":
                yield f"{day}no delivery at {each.requested}"
            case "refused":
                yield f"{day}refused: {each.why}"
    if several:
        counts = sorted(Counter(each.outcome for each in by_day).items())
        yield f"{len(by_day)} run dates: " + ", ".join(f"{n} {outcome}" for outcome, n in counts)


def demo_lines(demo: Demo) -> Iterator[str]:
    """The last lines of the demo: the main figures, then where the output is."""
    best, means, base = (demo.truth["last_tenth"][f"best_auc{part}"] for part in ("", "_means", "_base"))
    yield (
        f"test AUC {demo.metrics.auc:.4f}; the truth itself would reach {best:.4f},"
        f" exact means without taste {means:.4f}, demographics, genres and time alone {base:.4f}"
    )
    yield from scored_lines(demo.scored)
    yield f"report: {demo.out / 'evaluation' / 'report.html'}"
    yield f"exploration: {demo.out / 'exploration' / 'report.html'}"
    yield f"metrics: {demo.out / 'evaluation' / 'metrics.json'}"
    yield f"scores: {demo.out / 'scores'}"
    yield f"recommendations: {demo.out / 'recommendations'}"
    yield f"bundle: {demo.out / 'model' / 'bundle.json'}"
    yield f"lake: {demo.out / 'lake' / 'ledger.json'}"
    yield f"input: {demo.out / 'input'}"


def show_audience(out: Console, segments: pd.DataFrame) -> None:
    """Print one row per segment: people, mean probability and its interval."""
    table = Table()
    for name in ("by", "segment", "people", "p_like", "95% interval"):
        table.add_column(name, justify="left" if name in ("by", "segment") else "right")
    for row in segments.to_dict("records"):
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        by = str(row["by"]).replace("_", " ")
        table.add_row(by, str(row["segment"]), str(row["people"]), f"{row['p_like']:.3f}", interval)
    plain_console(width=max(out.width, 120)).print(table)


def show_runs(out: Console, records: Iterable[StoredRecord]) -> None:
    """Print one table per folder, with a row per run."""
    by_folder: dict[str, list[RunRecord]] = {}
    for stored in records:
        by_folder.setdefault(stored.folder, []).append(stored.record)
    for folder, of_folder in by_folder.items():
        out.print(folder)
        plain_console(width=RUNS_WIDTH).print(_runs_table(of_folder))


def _runs_table(records: Iterable[RunRecord]) -> Table:
    table = Table(box=None)
    for name in ("started", "job", "run date", "outcome", "seconds", "rows"):
        table.add_column(name, justify="right" if name == "seconds" else "left", no_wrap=name != "rows")
    for record in records:
        started, day = record.started.replace("T", " ").removesuffix("Z"), record.run_date or ""
        seconds, counts = f"{record.seconds:.1f}", _counts(record.counts)
        table.add_row(started, record.job, day, record.outcome, seconds, counts)
    return table


def _counts(counts: Mapping[str, Any]) -> str:
    parts = []
    for name, value in counts.items():
        if isinstance(value, Mapping):
            counted = [f"{part} {n}" for part, n in value.items() if isinstance(n, int) and n]
            parts += [f"{name}: {', '.join(counted)}"] if counted else []
        else:
            parts.append(f"{name} {value}")
    return "; ".join(parts)


def show_metrics(out: Console, metrics: Measurement) -> None:
    """Print the metrics of the model and its baselines, and of another bundle if there is one."""
    table = Table(title=f"{metrics.rows} ratings, {metrics.positives} liked", title_justify="left")
    table.add_column("")
    for name in METRICS_SHOWN:
        table.add_column(name, justify="right", no_wrap=True)
    for label, values in comparison(metrics, METRICS_SHOWN).items():
        table.add_row(label.replace("_", " "), *map(_figure, values))
        if label == "model" and any(metrics.intervals.values()):
            ranges = (_range(metrics.intervals[name]) for name in METRICS_SHOWN)
            table.add_row("  95% interval", *ranges, style="dim")
    if isinstance(metrics, Metrics) and metrics.against:
        _add_against(table, metrics.against)
    plain_console(width=max(out.width, 120)).print(table)
    if isinstance(metrics, Metrics) and metrics.leakage_cost:
        _show_leakage_cost(out, metrics.leakage_cost)
    if isinstance(metrics, Metrics) and metrics.ablation:
        _show_ablation(out, metrics.ablation)


def _add_against(table: Table, other: OtherModel) -> None:
    table.add_section()
    table.add_row(f"against {other.model_version}", *(_figure(other.metric(name)) for name in METRICS_SHOWN))
    table.add_row("  difference", *(_figure(other.difference[name], "+.4f") for name in METRICS_SHOWN))
    ranges = (_range(other.difference_intervals[name], "+.4f") for name in METRICS_SHOWN)
    table.add_row("  95% interval", *ranges, style="dim")


def _show_leakage_cost(out: Console, panel: Mapping[str, Mapping[str, Figures]]) -> None:
    """Print the model's metrics with and without future ratings."""
    table = Table(title="What looking ahead would gain", title_justify="left")
    names = ("auc", "log_loss", "accuracy")
    for name in ("split", "history", *names):
        table.add_column(name, justify="right" if name in names else "left")
    for split, histories in panel.items():
        for history, figures in histories.items():
            labels = (split.replace("_split", ""), history.replace("_", " "))
            table.add_row(*labels, *(_figure(figures.metric(name)) for name in names))
    out.print(table)


def _show_ablation(out: Console, ablation: Sequence[Ablation]) -> None:
    """Print how the metrics change where a family of columns is left out."""
    table = Table(title="What the model loses without each family of columns", title_justify="left")
    names = ("auc", "log_loss", "accuracy")
    table.add_column("without", no_wrap=True)
    for title in ("features", "seconds", *(title for name in names for title in (name, "change"))):
        table.add_column(title, justify="right")
    for each in ablation:
        cells = [
            cell
            for name in names
            for cell in (_figure(getattr(each, name)), _figure(_negative(each.difference[name]), "+.4f"))
        ]
        table.add_row(each.without, str(each.features), f"{each.seconds:.1f}", *cells)
    plain_console(width=max(out.width, 120)).print(table)


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value  # -0.0 would have a sign


def _figure(value: float | None, form: str = ".4f") -> str:
    return "-" if value is None else format(value, form)


def _range(values: Sequence[float] | None, form: str = ".4f") -> str:
    return "-" if values is None else "\n".join(format(value, form) for value in values)
