"""The report of ``explore``: its figures, with texts, in order."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from movierate_spark.exploration import Exploration
from movierate_spark.report import charts, tastes
from movierate_spark.report.insights import exploration_insights
from movierate_spark.report.page import NO_DATA, Figure, Report, formatted, largest, render
from movierate_spark.storage.documents import Ledger

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = tuple(f"{hour:02d}" for hour in range(24))


def exploration_report(
    exploration: Exploration,
    ledger: Ledger,
    *,
    min_rating: float,
    min_cell: int,
    min_support: int,
    shrinkage: float,
) -> Report:
    """The report with its tables; ``exploration`` must contain only what may be shown."""
    tables = exploration.tables
    data = [
        _ledger(ledger),
        _missing(ledger, min_cell=min_cell),
        _stars(tables["stars"], min_rating=min_rating),
        _over_time(tables["month"], "month", "Ratings and like rate by month", "Month", min_cell),
        _over_time(tables["weekday"], "weekday", "By day of the week", "Day of the week", min_cell),
        _over_time(tables["hour"], "hour", "By hour of the day", "Hour of the day (UTC)", min_cell),
        _tail(tables["ratings_per_user"], "ratings_per_user", "people"),
        _tail(tables["ratings_per_movie"], "ratings_per_movie", "movies"),
        _most_rated(tables["most_rated"]),
    ]
    who_likes_what = [
        tastes.genres(tables["genre"], average=exploration.totals["liked"] / exploration.totals["ratings"]),
        *(tastes.genre_by(tables[f"genre_{name}"], name) for name in tastes.ATTRIBUTES),
        tastes.largest_differences(tables["differences"]),
        tastes.correlations(tables["correlations"]),
        tastes.genres_together(tables["genres_together"]),
    ]
    movies = [
        _gems(tables["hidden_gems"], min_support=max(min_support, min_cell), shrinkage=shrinkage),
        _polarising(tables["polarising"], min_support=max(min_support, min_cell)),
    ]
    parts = {"The data": data, "Who likes what": who_likes_what, "Movies": movies}
    return render(
        "exploration.html.j2",
        [figure for figures in parts.values() for figure in figures],
        totals=exploration.totals,
        min_rating=min_rating,
        min_cell=min_cell,
        insights=exploration_insights(exploration, shrinkage=shrinkage),
        contents={"Insights": []} | {part: [each.id for each in figures] for part, figures in parts.items()},
    )


def _ledger(ledger: Ledger) -> Figure:
    counted = ["read", "accepted", "rejected", "blank", "superseded"]
    rows = [
        [name, *(getattr(counts, part) for part in counted), _rules(counts.by_rule)]
        for name, counts in ledger.tables.items()
    ]
    data = pd.DataFrame(rows, columns=["table", *counted, "rejected_by_rule"])
    text = (
        "Every line of the files ends in exactly one place: read = accepted + rejected + blank + superseded."
        " Rejected rows are kept unchanged in the lake's table rejected."
    )
    if re_rated := ledger.tables["ratings"].re_rated:
        text += (
            f" {re_rated:,} of the accepted ratings are of a movie that the user had rated before:"
            " the figures below use only the latest rating of each user and movie."
        )
    return Figure("ledger", "What was read", text, "", None, data, data.map(_thousands))


def _rules(by_rule: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {n:,}" for rule, n in by_rule.items()) or "none"


def _thousands(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def _missing(ledger: Ledger, *, min_cell: int) -> Figure:
    rows = [
        [
            f"{name}: {column}",
            _few(n, counts.accepted, min_cell) if name == "users" else f"{n:,}",
            f"{counts.accepted:,}",
        ]
        for name, counts in ledger.tables.items()
        for column, n in counts.unknown.items()
    ]
    rows += [
        [
            f"{name}: user or movie not in its table",
            _few(counts.orphans, counts.accepted, min_cell),
            f"{counts.accepted:,}",
        ]
        for name, counts in ledger.tables.items()
        if counts.orphans is not None
    ]
    data = pd.DataFrame(rows, columns=["column", "unknown", "of"])
    text = "Accepted rows with unknown values. They are used; unknown is a separate value."
    return Figure("missing", "What is unknown", text, "", None, data)


def _few(n: int, total: int, min_cell: int) -> str:
    if n in (0, total):
        return f"{n:,}"
    if n < min_cell:
        return f"1 to {min_cell - 1}"
    return f"all but 1 to {min_cell - 1}" if total - n < min_cell else f"{n:,}"


def _stars(table: pd.DataFrame, *, min_rating: float) -> Figure:
    colours = [
        charts.ACCENT if stars >= min_rating else charts.SOFT for stars in table["stars"].astype(float)
    ]
    most = largest(table, "ratings")
    alt = f"Bars by number of stars; most ratings have {most['stars']}." if most else NO_DATA
    chart = charts.bars(table["stars"], table["ratings"], x_title="Stars", y_title="Ratings", colours=colours)
    shown = table[["stars", "people", "ratings"]]
    share = shown.assign(share=[formatted(n / table["ratings"].sum(), "percent") for n in table["ratings"]])
    return Figure("stars", "How ratings are distributed", "Blue bars are likes.", alt, chart, share)


def _over_time(table: pd.DataFrame, column: str, title: str, axis: str, min_cell: int) -> Figure:
    labels = table[column]
    if column == "weekday":
        labels = labels.map(lambda day: WEEKDAYS[int(day) - 1])
    table = table.assign(**{column: labels})
    drawn = _with_gaps(table, column)
    chart = charts.counts_and_rates(drawn, x=column, x_title=axis)
    text = "Above: the number of ratings. Below: the like rate with its 95% interval."
    if len(drawn) > len(table):
        text += f" Gaps have no ratings or fewer than {min_cell} people, or would reveal such a number."
    alt = NO_DATA
    if len(table):
        busiest, best = largest(table, "ratings"), largest(table, "like_rate")
        alt = (
            f"Bars of ratings over a line of the like rate. Most ratings: {busiest[column]} with"
            f" {busiest['ratings']:,}; highest like rate: {best[column]} with"
            f" {formatted(best['like_rate'], 'percent')}."
        )
    return Figure(column, title, text, alt, chart, table)


def _with_gaps(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Add an empty row for each missing time, so that the line has a gap there."""
    if table.empty:
        return table
    times = {"weekday": WEEKDAYS, "hour": HOURS}.get(column) or _months(table[column])
    return table.set_index(column).reindex(times).rename_axis(column).reset_index()


def _months(months: pd.Series) -> tuple[str, ...]:
    """All months from the first to the last."""
    return tuple(pd.period_range(months.iloc[0], months.iloc[-1], freq="M").strftime("%Y-%m"))


def _tail(table: pd.DataFrame, name: str, what: str) -> Figure:
    one = {"people": "person", "movies": "movie"}[what]
    share = table[what][::-1].cumsum()[::-1] / max(table[what].sum(), 1)
    chart = charts.lines(
        [(what, table["first"].tolist(), share.tolist())],
        x_title=f"Ratings of a {one}, at least", y_title=f"Share of {what}", log=(True, True),
        form=(None, "~p"), markers=True, height=320,
    )  # fmt: skip
    text = f"The share of {what} with at least this number of ratings, on logarithmic scales."
    alt = f"A falling line on logarithmic scales, from all {what} down to the few with most ratings."
    return Figure(name, f"The long tail: ratings per {one}", text, alt, chart, table)


def _most_rated(table: pd.DataFrame) -> Figure:
    chart = charts.rows(table["title"], table["ratings"], title="Ratings", form=",", as_bars=True)
    alt = f"Bars by movie; the most rated is {table['title'].iloc[0]}." if len(table) else "No movie to show."
    text = "Each person counts once per movie."
    return Figure("most_rated", "The most rated movies", text, alt, chart, table)


def _gems(table: pd.DataFrame, *, min_support: int, shrinkage: float) -> Figure:
    chart = charts.rows(table["title"], table["shrunk_like_rate"], title="Like rate, shrunk")
    text = (
        f"Movies with the highest like rates and few ratings: at least {min_support}, and at most the median"
        f" of movies with that many. Like rates are shrunk by adding {shrinkage:g} average ratings."
    )
    alt = f"Dots by movie, best first: {table['title'].iloc[0]}." if len(table) else "No movie to show."
    return Figure("hidden_gems", "Hidden gems", text, alt, chart, table)


def _polarising(table: pd.DataFrame, *, min_support: int) -> Figure:
    chart = charts.rows(
        table["title"], table["standard_deviation"], title="Standard deviation of stars", form=".2f"
    )
    text = f"Movies with at least {min_support} ratings and the largest standard deviation of stars."
    alt = (
        f"Dots by movie, most divided first: {table['title'].iloc[0]}." if len(table) else "No movie to show."
    )
    return Figure("polarising", "Movies that divide opinions", text, alt, chart, table)
