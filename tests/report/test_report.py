from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pytest
from documents import figures, manifest, metrics
from hypothesis import given
from hypothesis import strategies as st

from movierate_spark.evaluation.metrics import METRICS
from movierate_spark.report import Report, evaluation_report, exploration
from movierate_spark.report.page import MISSING, Figure, formatted
from movierate_spark.report.segments import segment
from movierate_spark.report.spreadsheet import FORMULA_STARTS, to_csv
from movierate_spark.storage.documents import Ablation, Manifest, Metrics

HOSTILE = "<script>alert(1)</script>"


def histogram(people: int = 20) -> pd.DataFrame:
    rows = [
        [model, first, first + 0.01, first >= 0.5, people, liked, 100 - liked, 100 * (first + 0.005)]
        for model in ("model", "always_like", "movie_mean")
        for first, liked in ((0.2, 10), (0.5, 50), (0.8, 90))
    ]
    bins = ["first", "last", "predicted_liked", "people", "liked", "disliked", "expected"]
    return pd.DataFrame(rows, columns=["model", *bins])


def report(given_metrics: Metrics | None = None, given_manifest: Manifest | None = None) -> Report:
    return evaluation_report(
        given_metrics or metrics(), given_manifest or manifest(), histogram=histogram(), min_cell=11
    )


class Page(HTMLParser):
    """Ids, links and text of a page; fails on anything fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.specs: list[dict[str, Any]] = []
        self._inside: dict[str, str | None] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert tag not in ("iframe", "img", "link", "object", "embed")
        assert not any(name.startswith("on") or name == "src" for name in values)
        self._inside = {"tag": tag, **values}
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [values["href"] or ""] if "href" in values else []

    def handle_endtag(self, _: str) -> None:
        self._inside = {}

    def handle_data(self, data: str) -> None:
        if self._inside.get("tag") != "script":
            self.text.append(data)
        elif (self._inside.get("id") or "").endswith("-spec"):
            self.specs.append(json.loads(data))


def test_every_link_of_the_contents_leads_somewhere_on_the_page() -> None:
    document = report(metrics(leakage_cost={"time_split": {"as_of": figures(9)}}))
    page = Page(document.html)
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    files = {link for link in page.links if not link.startswith("#")}
    assert inside <= set(page.ids)
    assert files <= {f"figures/{name}.csv" for name in document.tables}
    assert len(page.ids) == len(set(page.ids))
    assert "leakage" in page.ids


def test_the_figures_are_those_of_the_metrics() -> None:
    text = " ".join(Page(report(metrics(auc=0.8123)).html).text)
    assert "0.8123" in text
    assert "0.7000 to 0.8000" in text
    assert "0.6100 (0.7000 to 0.8000)" in text
    assert "2000-12-02 23:47:24 UTC" in text


def ablated(without: str, worth: float) -> Ablation:
    names = ("auc", "log_loss", "accuracy")
    return Ablation(
        without=without,
        features=9,
        seconds=1.25,
        auc=0.8 - worth,
        log_loss=0.5,
        accuracy=0.7,
        difference=dict.fromkeys(names, worth),
        difference_intervals=dict.fromkeys(names, (worth - 0.001, worth + 0.001)),
    )


def test_the_ablation_says_what_each_family_is_worth_and_draws_those_that_can_be_told_apart() -> None:
    families = [("nothing", 0.0), ("people", 0.0123), ("all that ratings tell", 0.2)]
    page = Page(report(metrics(ablation=[ablated(*each) for each in families])).html)
    text = " ".join(page.text)
    assert "+0.0123 (+0.0113 to +0.0133)" in text
    assert "+0.2000 (+0.1990 to +0.2010)" in text
    (labels,) = [
        spec["layout"]["yaxis"]["ticktext"] for spec in page.specs if "without people" in json.dumps(spec)
    ]
    assert labels == ["the whole model", "without people"]


def test_a_segment_of_few_people_and_the_one_beside_it_are_not_shown() -> None:
    small = {"F": figures(20, auc=0.6111), "M": figures(80, auc=0.6222), "X": figures(90, auc=0.6333)}
    document = report(metrics(segments={"gender": small}))
    assert list(document.tables["by-gender"]["value"]) == ["X"]
    assert "0.6333" in document.html
    assert "0.6111" not in document.html
    assert "0.6222" not in document.html


def test_a_measurement_of_too_few_people_has_no_figures_at_all() -> None:
    document = report(metrics(people=10))
    assert "0.7500" not in document.html
    assert "fewer than 11 people" in document.html
    assert not document.tables


def test_a_figure_of_too_few_people_says_so_instead_of_being_drawn() -> None:
    page = Page(report(metrics(segments={"gender": {"F": figures(20)}})).html)
    assert "Nothing to show: too little data, or too few people." in page.text
    assert "by-gender" in page.ids
    assert "by-gender-spec" not in page.ids


def test_what_comes_from_data_is_text_and_never_markup() -> None:
    page = Page(report(metrics(segments={"genre": {HOSTILE: figures(50)}})).html)
    assert HOSTILE in page.text
    ticks = [label for spec in page.specs for label in spec["layout"]["yaxis"].get("ticktext", [])]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in ticks  # Plotly reads a little HTML in labels


def test_no_character_of_a_chart_can_end_the_element_that_holds_it() -> None:
    figure = Figure(
        "x", "x", "x", "x", go.Figure(layout={"title": {"text": "</script><b>&"}}), pd.DataFrame()
    )
    assert not {"<", ">", "&"} & set(figure.spec)
    assert json.loads(figure.spec)["layout"]["title"]["text"] == "</script><b>&"


def test_a_metric_that_is_not_defined_is_a_dash() -> None:
    page = report(metrics(auc=None, precision=None, intervals=dict.fromkeys(METRICS)))
    text = " ".join(Page(page.html).text)
    assert "None" not in text
    assert "nan" not in text


def test_odds_ratios_are_of_one_step_with_intervals() -> None:
    table = report().tables["odds-ratios"].set_index("feature")
    assert list(table.index) == ["user: mean", "genre=War"]  # strongest first, none of zero
    assert table.loc["user: mean", "odds_ratio"] == pytest.approx(math.exp(2.0 * 0.5))
    assert table.loc["user: mean", "odds_ratio_low"] == pytest.approx(math.exp((2.0 - 1.959964 * 0.2) * 0.5))
    assert table.loc["genre=War", "odds_ratio_high"] == pytest.approx(math.exp(0.5 + 1.959964 * 0.1))


def test_the_curves_are_those_of_the_histogram() -> None:
    tables = report().tables
    roc = tables["roc"][tables["roc"]["model"] == "model"]
    assert roc["true_positive_rate"].tolist() == pytest.approx([0, 90 / 150, 140 / 150, 1])
    assert roc["false_positive_rate"].tolist() == pytest.approx([0, 10 / 150, 60 / 150, 1])
    trade_off = tables["trade-off"]
    assert trade_off["threshold"].tolist() == [0.2, 0.5, 0.8]
    assert trade_off["precision"].tolist() == pytest.approx([150 / 300, 140 / 200, 90 / 100])
    assert trade_off["accuracy"].tolist() == pytest.approx([150 / 300, 230 / 300, 230 / 300])
    calibration = tables["calibration"]
    assert calibration["like_rate"].tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert calibration["probability"].tolist() == pytest.approx([0.205, 0.505, 0.805])


def test_hundredths_of_few_people_are_shown_together() -> None:
    few = histogram(people=5)
    few.loc[few["first"] == 0.8, "people"] = 30
    document = evaluation_report(metrics(), manifest(), histogram=few, min_cell=11)
    distribution = document.tables["distribution"]
    assert distribution[["probability_from", "liked", "disliked"]].to_numpy().tolist() == [[0.2, 150, 150]]


def test_bins_end_at_the_threshold_at_which_metrics_tell_exact_numbers() -> None:
    people = {0.2: 30, 0.5: 3, 0.8: 30}
    bins = histogram().assign(people=lambda each: each["first"].map(people))
    document = evaluation_report(metrics(), manifest(), histogram=bins, min_cell=11)
    distribution = document.tables["distribution"]
    assert distribution["probability_from"].tolist() == [0.2, 0.5]
    assert distribution["liked"].tolist() == [10, 140]


def test_a_number_of_people_that_tells_of_few_others_is_not_shown() -> None:
    genres = {"Drama": figures(97, people=97), "War": figures(50, people=50)}
    table = segment(genres, people=100, min_cell=11, overlapping=True).set_index("value")
    assert pd.isna(table.loc["Drama", "people"])
    assert table.loc["War", "people"] == 50


def test_few_unknown_and_few_known_people_are_not_counted_exactly() -> None:
    assert [exploration._few(n, 6040, 11) for n in (0, 3, 500, 6035, 6040)] == [
        "0",
        "1 to 10",
        "500",
        "all but 1 to 10",
        "6,040",
    ]
    assert [exploration._few(n, 5, 11) for n in (0, 5)] == ["0", "5"]


@given(st.text(max_size=12))
def test_no_text_of_a_file_is_a_formula(text: str) -> None:
    line = to_csv(pd.DataFrame({"title": [text], "n": [-1]})).split("\r\n", 1)[1]
    assert not line.removeprefix('"').startswith(FORMULA_STARTS)


def test_numbers_and_plain_text_are_left_as_they_are() -> None:
    table = pd.DataFrame({"title": ["=cmd()", "a, b"], "difference": [-0.5, None]})
    assert to_csv(table) == '"title","difference"\r\n"\'=cmd()",-0.5\r\n"a, b",""\r\n'
    people = pd.DataFrame({"people": pd.array([12, pd.NA], dtype="Int64")})
    assert to_csv(people) == '"people"\r\n12\r\n""\r\n'


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (1234, "count", "1,234"),
        (0.1234, "percent", "12.3%"),
        (-0.05, "points", "-5.0"),
        (None, "metric", MISSING),
        (float("nan"), "metric", MISSING),
        ("as it is", "percent", "as it is"),
    ],
)
def test_values_as_a_person_reads_them(value: Any, form: str, expected: str) -> None:
    assert formatted(value, form) == expected


def test_hours_that_may_not_be_shown_are_gaps() -> None:
    columns = ["hour", "people", "ratings", "liked", "like_rate", "low", "high"]
    table = pd.DataFrame(
        [["05", 20, 40, 10, 0.25, 0.1, 0.4], ["07", 30, 60, 45, 0.75, 0.6, 0.9]], columns=columns
    )
    figure = exploration._over_time(table, "hour", "By hour", "Hour", 11)
    assert figure.chart is not None
    bars, line = figure.chart.data
    assert list(bars.x) == list(line.x) == [f"{hour:02d}" for hour in range(24)]
    assert [bool(math.isnan(rate)) for rate in line.y[4:9]] == [True, False, True, False, True]
    assert [round(up, 2) for up in line.error_y.array if not math.isnan(up)] == [0.15, 0.15]
    assert figure.text.endswith(
        " Gaps have no ratings or fewer than 11 people, or would reveal such a number."
    )
    assert list(figure.data["hour"]) == ["05", "07"]
