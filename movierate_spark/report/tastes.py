"""Figures of ``explore``: who likes which genres."""

from __future__ import annotations

import pandas as pd

from movierate_spark.columns import AGE_GROUPS, UNKNOWN
from movierate_spark.report import charts
from movierate_spark.report.page import NO_DATA, Figure, formatted, largest

SUREST = 20
ATTRIBUTES = {"gender": "gender", "age_group": "age group", "occupation": "occupation"}
HIDDEN = "Grey cells are about too few people, or would reveal such a cell."


def genres(table: pd.DataFrame, *, average: float) -> Figure:
    """The figure of each genre's like rate."""
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
        "With 95% intervals. The dotted line is the like rate of all ratings. A film counts in each of its"
        " genres.",
        alt,
        chart,
        table,
    )


def genre_by(table: pd.DataFrame, attribute: str) -> Figure:
    """The figure of how much more, or less, each group likes each genre than everybody does."""
    name = ATTRIBUTES[attribute]
    if table["group"].nunique() < 2:  # nothing to compare
        table = table.iloc[:0]
    grids = {column: _grid(table, column) for column in ("difference", "discovered", "people")}
    low, high = (_grid(table, f"difference_{end}") for end in ("low", "high"))
    grid = grids["difference"]
    hover = _hover(low, high, grids["people"])
    chart = charts.heat_map(
        100 * grid, form="+.1f", title="Points above the genre", marked=grids["discovered"], hover=hover
    )
    text = (
        f"The like rate of a genre in each {name} minus the genre's overall like rate, in percentage points."
        f" Dots mark significant differences, corrected for multiple testing. {HIDDEN}"
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
    """A row per genre and a column per group; age groups are in order of age."""
    grid = table.pivot(index="genre", columns="group", values=column)
    ages = [age for age in (*AGE_GROUPS, UNKNOWN) if age in grid.columns]
    return grid[ages] if set(ages) == set(grid.columns) else grid


def _hover(low: pd.DataFrame, high: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Each cell's interval and number of people as text."""
    points = (frame.map(lambda value: formatted(value, "points")) for frame in (low, high))
    first, last = points
    counted = people.map(lambda value: formatted(value, "count"))
    return "(95% interval " + first + " to " + last + "; " + counted + " people)"


def largest_differences(table: pd.DataFrame) -> Figure:
    """The figure of the groups whose like rate of a genre differs most from everybody's."""
    labels = table["genre"] + ": " + table["group"]
    first = table.head(SUREST)
    points, low, high = (100 * first[name] for name in ("difference", "difference_low", "difference_high"))
    title = "Points above the genre"
    chart = charts.rows(
        labels.head(SUREST), points, low=low, high=high, reference=0.0, title=title, form="+.0f"
    )
    text = (
        f"The {len(first)} surest of {len(table)} significant differences, among all cells of the three maps."
        " About 5% of them are expected to be false (Benjamini and Hochberg), and the intervals are widened"
        " to match (Benjamini and Yekutieli). A group may like everything more: its difference over all"
        " genres is in the numbers."
    )
    alt = f"Dots with intervals for {len(first)} pairs of genre and group."
    if table.empty:
        text, alt = "No difference is significant, among all cells of the three maps.", NO_DATA
    columns = [
        "pair", "people", "ratings", "like_rate", "genre_like_rate", "difference", "difference_low",
        "difference_high", "group_difference", "q_value",
    ]  # fmt: skip
    return Figure(
        "differences", "Where tastes differ most", text, alt, chart, table, table.assign(pair=labels)[columns]
    )


def correlations(table: pd.DataFrame) -> Figure:
    """The figure of what correlates with liking."""
    chart = charts.rows(
        table["number"], table["correlation"], title="Correlation with liking", form="+.2f", as_bars=True
    )
    text = (
        "Pearson's correlation of each number with liking, over the ratings for which the number is known."
        " An age is the first year of its group."
    )
    alt = NO_DATA
    if best := largest(table, "correlation"):
        alt = f"Bars by number; strongest: {best['number']}, {formatted(best['correlation'], 'signed')}."
    return Figure("correlations", "Correlations with liking", text, alt, chart, table)


def genres_together(table: pd.DataFrame) -> Figure:
    """The figure of the genres that movies have together."""
    counts = table.pivot(index="genre", columns="other", values="movies").fillna(0).astype(int)
    own = pd.Series({name: counts.loc[name, name] for name in counts.index}, dtype=float)
    shares = counts.div(own, axis=0)
    for name in shares.index:
        shares.loc[name, name] = float("nan")
    chart = charts.heat_map(shares, form=".0%", title="Share of the row", diverging=False)
    text = "Of the movies in the genre of the row, the share that is also in the genre of the column."
    alt = f"Heat map of {len(shares)} genres by themselves."
    title = "Genres that occur together"
    return Figure("genres_together", title, text, alt, chart, table, counts.reset_index())
