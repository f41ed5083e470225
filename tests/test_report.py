from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

from movierate_spark import report
from movierate_spark.metrics import METRICS


def figures(rows: int, **changes: Any) -> dict[str, Any]:
    return {**dict.fromkeys(METRICS, 0.75), "rows": rows, "positives": rows // 2, "threshold": 0.5, **changes}


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        **figures(1000),
        "intervals": {name: [0.7, 0.8] for name in METRICS},
        "baselines": {"always_like": figures(1000, auc=0.5)},
        "segments": {"gender": {"F": figures(40, auc=0.61), "M": figures(10, auc=0.62)}},
        "cold_start": {"new user/known movie": {**figures(12), "baselines": {}}},
        "model_version": "v1",
        "since": "2000-12-02T23:47:24+00:00",
        "until": None,
        "min_user_history": 5,
        "overlap": False,
        **changes,
    }


MANIFEST = {
    "training": {"rows": 9000, "until": "2000-12-02T23:47:24+00:00"},
    "cross_validation": [
        {"regParam": 0.01, "elasticNetParam": 0.0, "log_loss": 0.5, "folds": [0.4, 0.6], "difference": 0.0,
         "standard_error": 0.0, "chosen": True},
    ],
}  # fmt: skip


class Page(HTMLParser):
    """Ids, links and text of a page; fails on a script or on anything fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "iframe", "img", "link")
        assert not any(name.startswith("on") or name == "src" for name in given)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_every_link_of_the_contents_leads_somewhere_on_the_page() -> None:
    page = Page(
        report.evaluation_report(metrics(leakage_cost={"time_split": {"as_of": figures(9)}}), MANIFEST)
    )
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "leakage" in page.ids


def test_the_figures_are_those_of_the_metrics() -> None:
    text = " ".join(Page(report.evaluation_report(metrics(auc=0.8123), MANIFEST)).text)
    assert "0.8123" in text
    assert "0.7000 to 0.8000" in text
    assert "0.6100" in text


def test_a_segment_of_few_ratings_is_not_shown() -> None:
    assert "0.6200" not in report.evaluation_report(metrics(), MANIFEST)


def test_what_comes_from_data_is_text_and_never_markup() -> None:
    hostile = "<script>alert(1)</script>"
    segments = {"genre": {hostile: figures(50)}}
    page = Page(report.evaluation_report(metrics(segments=segments), MANIFEST))
    assert hostile in page.text


def test_a_metric_that_is_not_defined_is_a_dash() -> None:
    intervals = dict.fromkeys(METRICS)
    page = report.evaluation_report(metrics(auc=None, precision=None, intervals=intervals), MANIFEST)
    assert "None" not in page
