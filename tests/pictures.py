"""README's pictures: parts of the reports of `movierate demo` as Chromium shows them: `make pictures`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from chromium import CHROMIUM, DRAWN, chromium
from playwright.sync_api import Browser

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs" / "pictures"
COMMAND = "import sys; from movierate_spark.cli import main; main(sys.argv[1:])"
WIDTH = 1024
SHOWN = {"exploration": ["genre_age_group"], "evaluation": ["calibration"]}
"""The figures of each report that its picture shows, under the report's title and its numbers at a glance."""

# What a run says of itself, such as the model's version, is another each time: nothing of it is shown.
REMOVE_THE_REST = """shown => {
  for (const part of document.querySelectorAll("header p, main > p, nav, section, details")) {
    const isShown = shown.some((id) => part.id === id || part.querySelector(`#${id}`));
    if (!isShown) part.remove();
  }
}"""


def take(browser: Browser, report: Path, shown: list[str], picture: Path) -> None:
    """Leave what a report shows of some figures in ``picture``."""
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
    page.goto(report.as_uri())
    page.wait_for_selector(DRAWN, timeout=60_000)
    page.evaluate(REMOVE_THE_REST, shown)
    page.screenshot(path=picture, full_page=True)
    page.close()


def run_demo(out: Path) -> Path:
    """Run every job on simulated data below ``out``."""
    subprocess.run([sys.executable, "-c", COMMAND, "demo", "--out", str(out)], check=True)
    return out


def main(
    demo: Annotated[Path | None, typer.Option(help="What `movierate demo` has left already.")] = None,
) -> None:
    """Take the pictures, of a new demo unless one is named."""
    if CHROMIUM is None:
        raise SystemExit("pictures: no Chromium here (Debian: apt-get install chromium)")
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        home = (demo or run_demo(Path(folder) / "demo")).resolve()
        for name, shown in SHOWN.items():
            picture = PICTURES / f"{name}.png"
            take(browser, home / name / "report.html", shown, picture)
            sys.stdout.write(f"{picture.relative_to(ROOT)}: {picture.stat().st_size // 1000} kB\n")


if __name__ == "__main__":
    typer.run(main)
