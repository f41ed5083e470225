"""Secrets in settings, by Spark's rule: they are hidden in files and kept off command lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SETTING = "spark.redaction.regex"
BY_DEFAULT = "(?i)secret|password|token|access[.]?key|credential"
"""The default of Spark 4.3; earlier versions have fewer words."""
OURS = re.compile(r"(?i)(account|encryption|private)[.]?key")
"""Secrets of object stores that Spark's pattern does not know."""
HIDDEN = "*********(redacted)"
ANYTHING = re.compile("")


def is_secret(name: str) -> bool:
    """Whether a setting of this name is a secret."""
    return any(each.search(name) for each in (re.compile(BY_DEFAULT), OURS))


def redacted(document: Mapping[str, Any], pattern: str = BY_DEFAULT) -> dict[str, Any]:
    """The document with every text hidden in which, or in whose name, the pattern or :data:`OURS` is found.

    If Python can't compile the pattern (Spark's patterns are Java's), every text is hidden.
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
    is_secret = any(each.search(text) for each in (secret, OURS) for text in (name, str(value)))
    return HIDDEN if isinstance(value, str) and is_secret else value
