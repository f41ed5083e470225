"""The report of ``explore``: figures, their words and their order."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from movierate_spark.exploration import Exploration
from movierate_spark.report import charts
from movierate_spark.report.insights import exploration_insights
from movierate_spark.report.page import Figure, Report, formatted, largest, render
from movierate_spark.storage.documents import Ledger

SUREST = 20
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HOURS = tuple(f"{hour:02d}" for hour in range(24))
ATTRIBUTES = {"gender": "gender", "age_group": "age group", "occupation": "occupation"}
AGES = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56+", "unknown")
NO_DATA = "No data."
HIDDEN = "Grey cells are about too few people, or would give such a cell away."


def exploration_report(
    found: Exploration,
    ledger: Ledger,
    *,
    min_rating: float,
    min_cell: int,
    min_support: int,
    shrinkage: float,
) -> Report:
    """The report as HTML with its tables; ``found`` holds nothing that may not be shown."""
    tables = found.tables
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
    tastes = [
        _genres(tables["genre"], average=found.totals["liked"] / found.totals["ratings"]),
        *(_genre_by(tables[f"genre_{name}"], name) for name in ATTRIBUTES),
        _differences(tables["differences"]),
        _correlations(tables["correlations"]),
        _together(tables["genres_together"]),
    ]
    movies = [
        _gems(tables["hidden_gems"], min_support=min_support, shrinkage=shrinkage),
        _polarising(tables["polarising"], min_support=min_support),
    ]
    parts = {"The data": data, "Who likes what": tastes, "Movies": movies}
    return render(
        "exploration.html.j2",
        [figure for figures in parts.values() for figure in figures],
        totals=found.totals,
        min_rating=min_rating,
        min_cell=min_cell,
        insights=exploration_insights(found, shrinkage=shrinkage),
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
        " Rejected rows are kept whole in the lake's table rejected."
    )
    if re_rated := ledger.tables["ratings"].re_rated:
        text += (
            f" {re_rated:,} of the accepted ratings are of a movie that the user had rated before:"
            " the figures below count the latest rating of each user and movie."
        )
    return Figure("ledger", "What was read", text, "", None, data, data.map(_thousands))


def _rules(by_rule: Mapping[str, int]) -> str:
    return ", ".join(f"{rule} {n:,}" for rule, n in by_rule.items()) or "none"


def _thousands(value: object) -> object:
    return f"{value:,}" if isinstance(value, int) else value


def _missing(ledger: Ledger, *, min_cell: int) -> Figure:
    rows = [
        [f"{name}: {column}", _few(n, min_cell) if name == "users" else f"{n:,}", f"{counts.accepted:,}"]
        for name, counts in ledger.tables.items()
        for column, n in counts.unknown.items()
    ]
    rows += [
        [f"{name}: user or movie not in its table", f"{counts.orphans:,}", f"{counts.accepted:,}"]
        for name, counts in ledger.tables.items()
        if counts.orphans is not None
    ]
    data = pd.DataFrame(rows, columns=["column", "unknown", "of"])
    text = (
        "How many of the accepted rows do not say. Such rows are used; what is unknown is a value of its own."
    )
    return Figure("missing", "What is unknown", text, "", None, data)


def _few(n: int, min_cell: int) -> str:
    return f"1 to {min_cell - 1}" if 0 < n < min_cell else f"{n:,}"


def _stars(table: pd.DataFrame, *, min_rating: float) -> Figure:
    colours = [
        charts.ACCENT if stars >= min_rating else charts.SOFT for stars in table["stars"].astype(float)
    ]
    most = largest(table, "ratings")
    alt = f"Bars by number of stars; most ratings have {most['stars']}." if most else NO_DATA
    chart = charts.bars(table["stars"], table["ratings"], x_title="Stars", y_title="Ratings", colours=colours)
    shown = table[["stars", "people", "ratings"]]
    share = shown.assign(share=[formatted(n / table["ratings"].sum(), "percent") for n in table["ratings"]])
    return Figure(
        "stars", "How ratings are distributed", "Bars in the strong colour are likes.", alt, chart, share
    )


def _over_time(table: pd.DataFrame, column: str, title: str, axis: str, min_cell: int) -> Figure:
    labels = table[column]
    if column == "weekday":
        labels = labels.map(lambda day: WEEKDAYS[int(day) - 1])
    table = table.assign(**{column: labels})
    drawn = _with_gaps(table, column)
    chart = charts.counts_and_rates(drawn, x=column, x_title=axis)
    text = "Above the number of ratings, below the share of likes among them with its 95% interval."
    if len(drawn) > len(table):
        text += f" A gap: no ratings, fewer than {min_cell} people, or what would give their number away."
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
    """The same with an empty row for each time that is missing, so that no line joins its neighbours."""
    if table.empty:
        return table
    times = {"weekday": WEEKDAYS, "hour": HOURS}.get(column) or _months(table[column])
    return table.set_index(column).reindex(times).rename_axis(column).reset_index()


def _months(found: pd.Series) -> tuple[str, ...]:
    """Every month from the first one found to the last."""
    return tuple(pd.period_range(found.iloc[0], found.iloc[-1], freq="M").strftime("%Y-%m"))


def _tail(table: pd.DataFrame, name: str, what: str) -> Figure:
    one = {"people": "person", "movies": "movie"}[what]
    share = table[what][::-1].cumsum()[::-1] / max(table[what].sum(), 1)
    chart = charts.lines(
        [(what, table["first"].tolist(), share.tolist())],
        x_title=f"Ratings of a {one}, at least", y_title=f"Share of {what}", log=(True, True),
        form=(None, "~p"), markers=True, height=320,
    )  # fmt: skip
    text = f"Which share of the {what} has at least so many ratings; both scales grow by powers of ten."
    alt = f"A falling line on logarithmic scales, from all {what} down to the few with most ratings."
    return Figure(name, f"The long tail: ratings per {one}", text, alt, chart, table)


def _most_rated(table: pd.DataFrame) -> Figure:
    chart = charts.rows(table["title"], table["ratings"], title="Ratings", form=",", as_bars=True)
    alt = f"Bars by movie; the most rated is {table['title'].iloc[0]}." if len(table) else "No movie to show."
    return Figure("most_rated", "The most rated movies", "One person rates a movie once.", alt, chart, table)


def _genres(table: pd.DataFrame, *, average: float) -> Figure:
    chart = charts.rows(
        table["genre"], table["like_rate"], low=table["low"], high=table["high"], reference=average,
        title="Like rate",
    )  # fmt: skip
    alt = NO_DATA
    if len(table):
        ends = [
            f"{table['genre'].iloc[i]} {formatted(table['like_rate'].iloc[i], 'percent')}" for i in (0, -1)
        ]
        alt = f"Dots by genre from the highest like rate, {ends[0]}, to the lowest, {ends[1]}."
    return Figure(
        "genre",
        "Like rate by genre",
        "With 95% intervals; the dotted line is the like rate of all ratings. A film counts in each of its"
        " genres.",
        alt,
        chart,
        table,
    )


def _genre_by(table: pd.DataFrame, attribute: str) -> Figure:
    name = ATTRIBUTES[attribute]
    if table["group"].nunique() < 2:  # nothing to compare
        table = table.iloc[:0]
    grids = {column: _grid(table, column) for column in ("difference", "discovered", "people")}
    low, high = (_grid(table, f"difference_{end}") for end in ("low", "high"))
    grid = grids["difference"]
    told = _told(low, high, grids["people"])
    chart = charts.heat_map(
        100 * grid, form="+.1f", title="Points above the genre", marked=grids["discovered"], told=told
    )
    text = (
        f"How far the like rate of a genre in each {name} lies above the genre's own, in percentage points."
        " A dot"
        " marks what differs beyond chance, with so many looked at."
        f" {HIDDEN}"
    )
    alt = NO_DATA
    if strongest := largest(table, "difference"):
        alt = (
            f"Heat map of genres by {name}; the strongest cell is {strongest['genre']} among"
            f" {strongest['group']}, {formatted(strongest['difference'], 'points')} points."
        )
    columns = [
        "genre",
        "group",
        "people",
        "ratings",
        "like_rate",
        "difference",
        "difference_low",
        "difference_high",
    ]
    shown = table[[*columns, "q_value"]]
    return Figure(f"genre_{attribute}", f"Genre by {name}", text, alt, chart, table, shown)


def _grid(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A row per genre, a column per group; ages in their order."""
    grid = table.pivot(index="genre", columns="group", values=column)
    ages = [age for age in AGES if age in grid.columns]
    return grid[ages] if set(ages) == set(grid.columns) else grid


def _told(low: pd.DataFrame, high: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Each cell's interval and people, in words."""
    points = (frame.map(lambda value: formatted(value, "points")) for frame in (low, high))
    first, last = points
    counted = people.map(lambda value: formatted(value, "count"))
    return "(95% interval " + first + " to " + last + "; " + counted + " people)"


def _differences(table: pd.DataFrame) -> Figure:
    labels = table["genre"] + ": " + table["group"]
    first = table.head(SUREST)
    points, low, high = (100 * first[name] for name in ("difference", "difference_low", "difference_high"))
    title = "Points above the genre"
    chart = charts.rows(
        labels.head(SUREST), points, low=low, high=high, reference=0.0, title=title, form="+.0f"
    )
    text = (
        f"The {len(first)} surest of {len(table)} pairs found to differ. All cells of the three maps were"
        " looked at: of the pairs found 5% are expected to be none (Benjamini and Hochberg), and the"
        " intervals are as much wider (Benjamini and Yekutieli). A group may like everything more: its"
        " difference over"
        " all genres stands in the numbers."
    )
    alt = (
        f"Dots with intervals for {len(first)} pairs of genre and group."
        if len(table)
        else "No pair differs."
    )
    columns = [
        "pair", "people", "ratings", "like_rate", "genre_like_rate", "difference", "difference_low",
        "difference_high", "group_difference", "q_value",
    ]  # fmt: skip
    return Figure(
        "differences", "Where tastes differ most", text, alt, chart, table, table.assign(pair=labels)[columns]
    )


def _correlations(table: pd.DataFrame) -> Figure:
    chart = charts.rows(
        table["number"], table["correlation"], title="Correlation with liking", form="+.2f", as_bars=True
    )
    text = (
        "Pearson's correlation of each number with a rating's being a like."
        " An age is the first year of its group. Over the ratings that know the number."
    )
    alt = NO_DATA
    if best := largest(table, "correlation"):
        alt = f"Bars by number; strongest: {best['number']}, {formatted(best['correlation'], 'signed')}."
    return Figure("correlations", "Numbers that go along with liking", text, alt, chart, table)


def _together(table: pd.DataFrame) -> Figure:
    counts = table.pivot(index="genre", columns="other", values="movies").fillna(0).astype(int)
    own = pd.Series({name: counts.loc[name, name] for name in counts.index}, dtype=float)
    shares = counts.div(own, axis=0)
    for name in shares.index:
        shares.loc[name, name] = float("nan")
    chart = charts.heat_map(shares, form=".0%", title="Share of the row", diverging=False)
    text = "Of the movies in the genre of a row, the share that is in the genre of a column, too."
    alt = f"Heat map of {len(shares)} genres by themselves."
    return Figure("genres_together", "Genres that go together", text, alt, chart, table, counts.reset_index())


def _gems(table: pd.DataFrame, *, min_support: int, shrinkage: float) -> Figure:
    chart = charts.rows(table["title"], table["shrunk_like_rate"], title="Like rate, shrunk")
    text = (
        f"Movies with few ratings, from {min_support} up to the median of those with at least as many, and"
        " the highest"
        f" like rates, shrunk as if {shrinkage:g} average ratings came on top."
    )
    alt = f"Dots by movie, best first: {table['title'].iloc[0]}." if len(table) else "No movie to show."
    return Figure("hidden_gems", "Hidden gems", text, alt, chart, table)


def _polarising(table: pd.DataFrame, *, min_support: int) -> Figure:
    chart = charts.rows(
        table["title"], table["standard_deviation"], title="Standard deviation of stars", form=".2f"
    )
    text = f"Movies with at least {min_support} ratings over which opinions differ most."
    alt = (
        f"Dots by movie, most divided first: {table['title'].iloc[0]}." if len(table) else "No movie to show."
    )
    return Figure("polarising", "Movies that divide", text, alt, chart, table)
