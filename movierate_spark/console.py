"""Consoles that print text literally."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A Rich console that does not interpret ``[/b]`` or ``:smile:``, which may occur in data and paths.

    Rich interprets markup in the text of a status or progress bar regardless: pass those a ``Text``.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
