"""Messages for failures inside a run. They never quote data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException

from movierate_spark.spark_internals import is_spark_throwable

NO_SPACE = "no space left on device: free some for the output and for Spark's local folders, and run again"
MORE_MEMORY = "give it more ([spark] driver_memory, or --driver-memory and --executor-memory)"
NO_MEMORY = f"Spark is out of memory: {MORE_MEMORY}"
ENDED = f"Spark stopped during the run, usually for lack of memory: {MORE_MEMORY}"
LOST = "executors were lost too often: their logs say why, usually a lack of memory (--executor-memory)"
ADVICE = {
    "No space left on device": NO_SPACE,
    "java.lang.OutOfMemoryError": NO_MEMORY,
    "SparkContext was shut down": ENDED,
    "ExecutorLostFailure": LOST,
    "FetchFailed": LOST,
}
"""What to do about an error whose message contains the key."""


def describe(error: Exception) -> str:
    """Spark's or Python's name for the error, and what to do if that is known.

    The error's own message is left out, as it may quote data. A file's path is not data.
    """
    message = str(error)
    if advice := next((ADVICE[symptom] for symptom in ADVICE if symptom in message), None):
        return advice
    if isinstance(error, Py4JNetworkError | ConnectionError):
        return ENDED
    if isinstance(error, PySparkException | Py4JJavaError):
        return f"Spark failed: {_describe_spark(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"failed: {error.strerror}" + (f" ({error.filename})" if error.filename else "")
    return f"failed: {type(error).__name__}"


def _describe_spark(error: PySparkException | Py4JJavaError) -> str:
    for condition, path in _conditions(error):
        if condition.startswith("FAILED_READ_FILE") and path:
            return f"{condition}: {path} is damaged or missing: restore it or make it again"
        return condition
    return type(error).__name__


def _conditions(error: PySparkException | Py4JJavaError) -> Iterator[tuple[str, str | None]]:
    """Spark's names for the error and its causes, each with the path that it concerns."""
    if isinstance(error, PySparkException):
        if condition := error.getCondition():
            yield condition, (error.getMessageParameters() or {}).get("path")
        return
    cause: Any = error.java_exception
    while cause is not None:
        if is_spark_throwable(cause) and (condition := cause.getCondition()):
            yield condition, cause.getMessageParameters().get("path")
        cause = cause.getCause()
