"""The reports in a real browser: drawn, complete in themselves, readable at any width."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import CHROMIUM, DRAWN, chromium
from helpers import HOSTILE_TITLES, Simulated
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.end_to_end
WIDTHS = {"phone": 390, "desktop": 1280}
FEWEST_CHARTS = {"exploration": 15, "evaluation": 9}
"""With 182 users, no difference in taste is significant: its chart is left out."""
REPORTS = tuple(FEWEST_CHARTS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: install Debian's package chromium to open the reports in a browser")
    with chromium() as browser:
        yield browser


class Opened:
    """A report in a page, and all that the page said and asked for."""

    def __init__(self, browser: Browser, report: Path, *, width: int = 1280, scheme: str = "light") -> None:
        self.messages: list[str] = []
        self.urls: list[str] = []
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.messages.append(dialog.message), dialog.dismiss()))
        self.page.on("request", lambda request: self.urls.append(request.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector(DRAWN, timeout=60_000)


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_report_is_drawn_without_errors_requests_or_sideways_scrolling(
    browser: Browser, simulated: Simulated, report: str, width: str, tmp_path: Path
) -> None:
    file = simulated.folder / report / "report.html"
    opened = Opened(browser, file, width=WIDTHS[width])
    page = opened.page
    sizes = page.eval_on_selector_all(
        ".chart",
        """charts => charts.map(chart => {
            const box = chart.querySelector("svg.main-svg").getBoundingClientRect();
            const marks = chart.querySelectorAll(".mlayer .trace, .heatmaplayer image");
            return [box.width, box.height, marks.length];
        })""",
    )
    assert len(sizes) >= FEWEST_CHARTS[report]
    assert all(wide > 100 and high > 60 and marks > 0 for wide, high, marks in sizes), sizes
    assert page.evaluate("document.documentElement.scrollWidth") == WIDTHS[width]
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 50_000
    assert opened.messages == []
    assert opened.urls == [file.as_uri()]
    assert file.stat().st_size < 8_000_000


@pytest.mark.parametrize("report", REPORTS)
def test_every_link_of_the_contents_goes_to_its_heading(
    browser: Browser, simulated: Simulated, report: str
) -> None:
    page = Opened(browser, simulated.folder / report / "report.html").page
    page.emulate_media(reduced_motion="reduce")
    links = page.locator("nav a")
    assert links.count() > 10
    for i in range(links.count()):
        target = (links.nth(i).get_attribute("href") or "").removeprefix("#")
        links.nth(i).click()
        heading = page.locator(f"#{target} >> css=h2, h3").first
        assert heading.is_visible()
        box = heading.bounding_box()
        assert box is not None
        assert -5 < box["y"] < 900


def test_hostile_titles_are_text_in_charts_tables_and_files(browser: Browser, simulated: Simulated) -> None:
    folder = simulated.folder / "exploration"
    opened = Opened(browser, folder / "report.html")
    labels = opened.page.locator("#most_rated .ytick text").all_text_contents()
    cells = opened.page.locator("#most_rated tbody th").all_text_contents()
    assert set(HOSTILE_TITLES) <= set(cells)
    assert all(any(label.rstrip("…") in title for label in labels) for title in HOSTILE_TITLES)
    assert opened.page.locator(".chart a").count() == 0
    assert opened.messages == []
    with (folder / "figures" / "most_rated.csv").open(encoding="utf-8", newline="") as file:
        titles = {row["title"] for row in csv.DictReader(file)}
    assert "'=cmd() (2000)" in titles
    assert "=cmd() (2000)" not in titles


def test_the_numbers_under_a_chart_open_by_keyboard(browser: Browser, simulated: Simulated) -> None:
    page = Opened(browser, simulated.folder / "exploration" / "report.html").page
    summary = page.locator("#genre summary")
    table = page.locator("#genre table")
    assert not table.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    assert table.is_visible()
    assert all(page.eval_on_selector_all(".chart", "charts => charts.map(c => c.ariaLabel)"))


def contrast(page: Page) -> float:
    """The least ratio of luminances between text and page (WCAG 2.2), over paragraphs, labels and links."""
    return float(
        page.evaluate(
            """() => {
      const luminance = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
          .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const paper = luminance(getComputedStyle(document.body).backgroundColor);
      const styles = (selector) => [...document.querySelectorAll(selector)].map((e) => getComputedStyle(e));
      const inks = styles("p, .soft, a, summary, td").map((style) => style.color)
        .concat(styles(".chart text").map((style) => style.fill));
      return Math.min(...new Set(inks.map((ink) => {
        const [low, high] = [luminance(ink), paper].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      })));
    }"""
        )
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_the_light_and_in_the_dark(
    browser: Browser, simulated: Simulated, scheme: str
) -> None:
    page = Opened(browser, simulated.folder / "exploration" / "report.html", scheme=scheme).page
    assert contrast(page) >= 4.5
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    page.wait_for_timeout(1500)
    assert contrast(page) >= 4.5
