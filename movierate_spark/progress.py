"""What a person sees of a command: plain text, and while it works how far it is.

That is a bar with the time left in a terminal, else lines.
"""

from __future__ import annotations

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


def plain_console(**options: Any) -> Console:
    """A console that takes ``[/b]`` and ``:smile:`` for text, as they may stand in data and in paths.

    Rich reads the text of a status and of a progress bar as markup whatever its console says: give them
    ``Text``.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)


class Progress:
    """Says on standard output what is going on; standard error is for what went wrong."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or plain_console(soft_wrap=True)
        self.done: list[dict[str, Any]] = []

    def say(self, line: str) -> None:
        """A line of its own."""
        self.console.print(line)

    def _finish(self, what: str, started: float, *, said: str) -> None:
        seconds = time.monotonic() - started
        self.done.append({"step": what, "seconds": round(seconds, 3)})
        self.say(f"{said} {seconds:.1f} s")

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Name a step while it runs, and its seconds when it is done."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(Text(what)):
                yield
        else:
            yield
        self._finish(what, started, said=f"{what}:")

    @contextmanager
    def steps(self, what: str, total: int) -> Iterator[Callable[[], None]]:
        """Count ``total`` equal steps; the block calls what it is given after each."""
        started, done, counting = time.monotonic(), 0, threading.Lock()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        bar = Bar(*columns, TimeElapsedColumn(), TimeLeftColumn(), console=self.console, transient=True)
        task = bar.add_task(what, total=total)

        def advance() -> None:
            nonlocal done
            with counting:
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
        self._finish(what, started, said=f"{what}: {done} of {total},")
