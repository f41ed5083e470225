"""Plotly charts from small tables; titles and texts come from the caller.

Colours are those of the light page; :data:`PALETTE` maps each to its colour in dark mode.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

INK, SOFT, LINE, MIDDLE = "#1b1b1b", "#55504a", "#d9d4cd", "#f5f3f0"
ACCENT, SECOND, THIRD, FOURTH = "#1f5fa8", "#b4531a", "#2f7d4f", "#7a4fa3"
BAND = "rgba(31,95,168,0.18)"
PALETTE = {
    INK: "#ece9e4",
    SOFT: "#b3ada5",
    LINE: "#45413c",
    MIDDLE: "#282624",
    ACCENT: "#8ab8ee",
    SECOND: "#f0a36b",
    THIRD: "#8ed0a6",
    FOURTH: "#c9a6ec",
    BAND: "rgba(138,184,238,0.25)",
}
SERIES = (ACCENT, SECOND, THIRD, FOURTH)
CLEAR = "rgba(0,0,0,0)"
LONGEST_LABEL = 44
ROW_HEIGHT = 24
DOT = "\N{BULLET}"


def plain(text: object, *, longest: int | None = None) -> str:
    """Text that Plotly shows literally, as its labels interpret some HTML; at most ``longest`` characters."""
    full = str(text)
    short = full if longest is None or len(full) <= longest else f"{full[: longest - 1].rstrip()}…"
    return html.escape(short, quote=False)


def base(*, height: int, **layout: Any) -> dict[str, Any]:
    """The layout of all charts."""
    axis = {
        "gridcolor": LINE,
        "linecolor": LINE,
        "zerolinecolor": LINE,
        "automargin": True,
        "fixedrange": True,
    }
    return {
        "template": go.layout.Template(),
        "height": height,
        "autosize": True,
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"color": INK, "size": 12, "family": "system-ui, sans-serif"},
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "dragmode": False,
        "showlegend": False,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "xaxis": dict(axis),
        "yaxis": dict(axis),
        **layout,
    }


def counts_and_rates(table: pd.DataFrame, *, x: str, x_title: str) -> go.Figure:
    """Bars of ratings, and below them the like rate with its interval, over the column ``x``."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.55, 0.45])
    values = [plain(value) for value in table[x]]
    figure.add_trace(go.Bar(x=values, y=table["ratings"], marker_color=ACCENT, name="Ratings"), row=1, col=1)
    rate = go.Scatter(
        x=values,
        y=table["like_rate"],
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": table["high"] - table["like_rate"],
            "arrayminus": table["like_rate"] - table["low"],
            "color": BAND,
            "thickness": 8,
            "width": 0,
        },
        name="Like rate",
    )
    figure.add_trace(rate, row=2, col=1)
    layout = base(height=380)
    figure.update_layout(**{name: value for name, value in layout.items() if name not in ("xaxis", "yaxis")})
    figure.update_xaxes(**{**layout["xaxis"], "showgrid": False}, type="category")
    figure.update_yaxes(**layout["yaxis"])
    figure.update_xaxes(title_text=x_title, row=2, col=1)
    figure.update_yaxes(title_text="Ratings", row=1, col=1)
    figure.update_yaxes(title_text="Like rate", tickformat=".0%", row=2, col=1)
    return figure


def calibration(table: pd.DataFrame) -> go.Figure:
    """Like rate by mean probability with the diagonal, and below it the number of ratings."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06, row_heights=[0.75, 0.25])
    diagonal = {"color": SOFT, "width": 1, "dash": "dot"}
    figure.add_trace(
        go.Scatter(x=[0, 1], y=[0, 1], mode="lines", line=diagonal, hoverinfo="skip"), row=1, col=1
    )
    dots = go.Scatter(
        x=table["probability"], y=table["like_rate"], mode="lines+markers", line={"color": ACCENT, "width": 2}
    )
    figure.add_trace(dots, row=1, col=1)
    counts = go.Bar(x=table["probability"], y=table["ratings"], width=0.02, marker_color=ACCENT)
    figure.add_trace(counts, row=2, col=1)
    layout = base(height=480)
    figure.update_layout(**{name: value for name, value in layout.items() if name not in ("xaxis", "yaxis")})
    figure.update_xaxes(**layout["xaxis"], range=[-0.01, 1.01], tickformat=".0%")
    figure.update_yaxes(**layout["yaxis"])
    figure.update_xaxes(title_text="Mean probability", row=2, col=1)
    figure.update_yaxes(title_text="Like rate", tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title_text="Ratings", row=2, col=1)
    figure.update_yaxes(title_standoff=12)  # else the lower title touches counts of four digits
    return figure


def bars(
    labels: Iterable[Any],
    values: pd.Series,
    *,
    x_title: str,
    y_title: str,
    colours: Sequence[str] | str = ACCENT,
) -> go.Figure:
    """Vertical bars over categories."""
    figure = go.Figure(go.Bar(x=[plain(label) for label in labels], y=values, marker_color=colours))
    figure.update_layout(**base(height=300))
    figure.update_xaxes(type="category", title_text=x_title, showgrid=False)
    figure.update_yaxes(title_text=y_title)
    return figure


def rows(
    labels: Iterable[Any],
    values: pd.Series,
    *,
    title: str,
    low: pd.Series | None = None,
    high: pd.Series | None = None,
    reference: float | None = None,
    log: bool = False,
    form: str = ".0%",
    as_bars: bool = False,
) -> go.Figure:
    """A row per label, the first on top: a bar or a dot, with its interval if there is one."""
    names = [plain(label) for label in labels]
    places = list(range(len(names)))
    error = None
    if low is not None and high is not None:
        error = {
            "type": "data", "symmetric": False, "array": (high - values).fillna(0),
            "arrayminus": (values - low).fillna(0), "color": SOFT, "thickness": 1.5, "width": 0,
        }  # fmt: skip
    if as_bars:
        mark: Any = go.Bar(x=values, y=places, orientation="h", marker_color=ACCENT)
    else:
        mark = go.Scatter(
            x=values, y=places, mode="markers", marker={"color": ACCENT, "size": 9}, error_x=error
        )
    mark.text = [plain(label) for label in labels]
    mark.hovertemplate = f"%{{text}}: %{{x:{form}}}<extra></extra>"
    mark.textposition = "none" if as_bars else None
    figure = go.Figure(mark)
    figure.update_layout(**base(height=90 + ROW_HEIGHT * len(places)))
    if reference is not None:
        figure.add_vline(x=reference, line={"color": SOFT, "width": 1, "dash": "dot"})
    ticks = [plain(label, longest=LONGEST_LABEL) for label in labels]
    figure.update_yaxes(tickvals=places, ticktext=ticks, autorange="reversed", showgrid=False, zeroline=False)
    figure.update_xaxes(title_text=title, tickformat=form, type="log" if log else "linear", side="bottom")
    return figure


def heat_map(
    grid: pd.DataFrame,
    *,
    form: str,
    title: str,
    diverging: bool = True,
    marked: pd.DataFrame | None = None,
    hover: pd.DataFrame | None = None,
) -> go.Figure:
    """A heat map of a grid. Missing cells are grey; the middle of a diverging scale is 0.

    The scale ends at the 95th percentile, so that one extreme cell does not make all others pale. ``marked``
    cells have a dot. ``hover`` is text for each cell's tooltip, after its value.
    """
    widest, more = _widest(grid), "" if hover is None else " %{customdata}"
    scale = [[0, SECOND], [0.5, MIDDLE], [1, ACCENT]] if diverging else [[0, MIDDLE], [1, ACCENT]]
    figure = go.Figure(
        go.Heatmap(
            z=grid.to_numpy(dtype=float), x=[plain(name) for name in grid.columns],
            y=[plain(name) for name in grid.index], zmin=-widest if diverging else 0, zmax=widest,
            colorscale=scale, xgap=2, ygap=2, hoverongaps=False,
            text=None if marked is None else marked.map(lambda mark: DOT if mark is True else ""),
            texttemplate=None if marked is None else "%{text}", textfont={"color": INK, "size": 18},
            customdata=None if hover is None else hover.fillna("").to_numpy(),
            hovertemplate=f"%{{y}}, %{{x}}: %{{z:{form}}}{more}<extra></extra>",
            colorbar={"title": {"text": title, "side": "top"}, "tickformat": form, "orientation": "h",
                      "thickness": 10, "y": 1.0, "yanchor": "bottom", "len": 0.9, "outlinewidth": 0},
        )
    )  # fmt: skip
    figure.update_layout(**base(height=170 + ROW_HEIGHT * len(grid), plot_bgcolor=LINE))
    figure.update_xaxes(type="category", showgrid=False, tickangle=-45 if len(grid.columns) > 3 else 0)
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def _widest(grid: pd.DataFrame) -> float:
    values = np.abs(grid.to_numpy(dtype=float))
    return float(np.nanquantile(values, 0.95)) or 1.0 if np.isfinite(values).any() else 1.0


def lines(
    series: Sequence[tuple[str, Sequence[float], Sequence[float]]],
    *,
    x_title: str,
    y_title: str,
    log: tuple[bool, bool] = (False, False),
    diagonal: bool = False,
    form: tuple[str | None, str | None] = (None, None),
    markers: bool = False,
    height: int = 380,
    x_range: Sequence[float] | None = None,
    y_range: Sequence[float] | None = None,
) -> go.Figure:
    """A line per (name, x, y); ``diagonal`` adds the line x = y."""
    figure = go.Figure()
    if diagonal:
        mark = go.Scatter(
            x=[0, 1], y=[0, 1], mode="lines", line={"color": SOFT, "width": 1, "dash": "dot"},
            hoverinfo="skip", showlegend=False, name="diagonal",
        )  # fmt: skip
        figure.add_trace(mark)
    for i, (name, x, y) in enumerate(series):
        colour, dash = SERIES[i % len(SERIES)], ("solid", "dash", "dot", "dashdot")[i // 1 % 4]
        figure.add_trace(
            go.Scatter(
                x=list(x), y=list(y), name=plain(name), mode="lines+markers" if markers else "lines",
                line={"color": colour, "width": 2.5 if i == 0 else 1.8, "dash": dash},
            )
        )  # fmt: skip
    figure.update_layout(**base(height=height, showlegend=len(series) > 1))
    for update, title, is_log, tick, span in (
        (figure.update_xaxes, x_title, log[0], form[0], x_range),
        (figure.update_yaxes, y_title, log[1], form[1], y_range),
    ):
        update(title_text=title, type="log" if is_log else "linear", tickformat=tick, range=span)
        if is_log:
            update(dtick=1)
    return figure


def panels(labels: Sequence[Any], values: dict[str, pd.Series]) -> go.Figure:
    """A narrow panel per named column, all with the same rows; the first row is highlighted."""
    names = list(values)
    figure = make_subplots(
        rows=1, cols=len(names), shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=names
    )
    places = list(range(len(labels)))
    colours = [ACCENT, *[SOFT] * (len(places) - 1)]
    for column, name in enumerate(names, start=1):
        mark = go.Scatter(
            x=values[name], y=places, mode="markers", marker={"color": colours, "size": 10}, name=name,
            text=[plain(label) for label in labels], hovertemplate="%{text}: %{x:.4f}<extra></extra>",
        )  # fmt: skip
        figure.add_trace(mark, row=1, col=column)
    layout = base(height=110 + ROW_HEIGHT * len(places), margin={"l": 8, "r": 12, "t": 40, "b": 8})
    figure.update_layout(**{name: value for name, value in layout.items() if name not in ("xaxis", "yaxis")})
    figure.update_xaxes(**layout["xaxis"], nticks=3, tickformat=".2f", tickangle=0)
    figure.update_yaxes(**{**layout["yaxis"], "zeroline": False}, autorange="reversed")
    figure.update_yaxes(tickvals=places, ticktext=[plain(label, longest=LONGEST_LABEL) for label in labels])
    figure.update_annotations(font={"color": INK, "size": 12})
    return figure
