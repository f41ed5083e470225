"""The one place that makes consoles: what is said there is shown as it is, whatever is in it."""

from __future__ import annotations

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A console that takes ``[/b]`` and ``:smile:`` for text, as they may stand in data and in paths.

    Rich reads the text of a status and of a progress bar as markup whatever its console says: give them
    ``Text``.
    """
    return Console(markup=False, emoji=False, highlight=False, **options)
