"""Console output and progress of a command: a bar with the time left in a terminal, else plain lines."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.progress import TimeRemainingColumn as TimeLeftColumn
from rich.text import Text

INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but tab and newline, and those that change the direction of text."""


def visible(text: str) -> str:
    """The text with a replacement character for each invisible one: data and paths must steer no terminal."""
    return INVISIBLE.sub("\N{REPLACEMENT CHARACTER}", text)


class PlainConsole(Console):
    """Prints only visible characters of strings. Pass a ``Text`` only of what is :func:`visible`."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The text to print."""
        return super().render_str(visible(text), **options)


def plain_console(**options: Any) -> Console:
    """A Rich console that does not interpret ``[/b]`` or ``:smile:``, which may occur in data and paths.

    Rich interprets markup in the text of a status or progress bar regardless: pass those a ``Text``.
    """
    return PlainConsole(markup=False, emoji=False, highlight=False, **options)


class Progress:
    """Prints progress on standard output; ``done`` lists finished steps with their seconds."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or plain_console(soft_wrap=True)
        self.done: list[dict[str, Any]] = []

    def say(self, line: str) -> None:
        """Print a line."""
        self.console.print(line)

    def _finish(self, what: str, started: float, *, prefix: str) -> None:
        seconds = time.monotonic() - started
        self.done.append({"step": what, "seconds": round(seconds, 3)})
        self.say(f"{prefix} {seconds:.1f} s")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show a step while the block runs, and print its seconds afterwards."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(Text(visible(what))):
                yield
        else:
            yield
        self._finish(what, started, prefix=f"{what}:")

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Count ``total`` equal steps; the block calls the function it gets after each of them."""
        started, done, lock = time.monotonic(), 0, threading.Lock()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        bar = Bar(*columns, TimeElapsedColumn(), TimeLeftColumn(), console=self.console, transient=True)
        task = bar.add_task(visible(what), total=total)

        def advance() -> None:
            nonlocal done
            with lock:
                done += 1
            bar.advance(task)
            elapsed = time.monotonic() - started
            if not self.console.is_terminal and done < total:
                left = elapsed / done * (total - done)
                self.say(f"{what}: {done} of {total}, about {left:.0f} s left")

        if self.console.is_terminal:
            with bar:
                yield advance
        else:
            yield advance
        self._finish(what, started, prefix=f"{what}: {done} of {total},")
