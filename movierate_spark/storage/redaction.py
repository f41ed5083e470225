"""Secrets in settings, hidden before the settings are written anywhere, by Spark's own rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SETTING = "spark.redaction.regex"
BY_DEFAULT = "(?i)secret|password|token|access[.]?key|credential"
"""Spark 4.3's; those before it know fewer words."""
HIDDEN = "*********(redacted)"
ANYTHING = re.compile("")


def redacted(document: Mapping[str, Any], pattern: str = BY_DEFAULT) -> dict[str, Any]:
    """The document, with each text hidden that the pattern finds something in, or in its name.

    A pattern that Python can't read (Spark's is Java's) hides every text.
    """
    try:
        secret = re.compile(pattern)
    except re.error:
        secret = ANYTHING
    return {name: _shown(name, value, secret) for name, value in document.items()}


def _shown(name: str, value: Any, secret: re.Pattern[str]) -> Any:
    if isinstance(value, Mapping):
        return {inner: _shown(inner, each, secret) for inner, each in value.items()}
    if isinstance(value, list):
        return [_shown(name, each, secret) for each in value]
    return HIDDEN if isinstance(value, str) and (secret.search(name) or secret.search(value)) else value
