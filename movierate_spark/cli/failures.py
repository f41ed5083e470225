"""What went wrong inside a run, in words that quote none of the data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from py4j.protocol import Py4JJavaError, Py4JNetworkError
from pyspark.errors import PySparkException

from movierate_spark.spark_internals import is_spark_throwable

NO_SPACE = "no space left on device: free some where outputs and Spark's local folders lie, and run again"
MORE = "give it more ([spark] driver_memory, or --driver-memory and --executor-memory)"
NO_MEMORY = f"Spark is out of memory: {MORE}"
ENDED = f"Spark has ended in the midst of it, mostly for lack of memory: {MORE}"
LOST = "executors were lost too often: their logs say why, mostly a lack of memory (--executor-memory)"
ADVICE = {
    "No space left on device": NO_SPACE,
    "java.lang.OutOfMemoryError": NO_MEMORY,
    "SparkContext was shut down": ENDED,
    "ExecutorLostFailure": LOST,
    "FetchFailed": LOST,
}
"""What can be done about an error whose message holds this."""


def described(error: Exception) -> str:
    """Spark's or Python's name for the error, and what can be done where that is known.

    Messages are left out, as they quote values; a file's path is none.
    """
    message = str(error)
    if advice := next((ADVICE[symptom] for symptom in ADVICE if symptom in message), None):
        return advice
    if isinstance(error, Py4JNetworkError | ConnectionError):
        return ENDED
    if isinstance(error, PySparkException | Py4JJavaError):
        return f"Spark failed: {_of_spark(error)}"
    if isinstance(error, OSError) and error.strerror:
        return f"failed: {error.strerror}" + (f" ({error.filename})" if error.filename else "")
    return f"failed: {type(error).__name__}"


def _of_spark(error: PySparkException | Py4JJavaError) -> str:
    for condition, path in _told(error):
        if condition.startswith("FAILED_READ_FILE") and path:
            return f"{condition}: {path} is damaged or gone: bring it back, or make it again"
        return condition
    return type(error).__name__


def _told(error: PySparkException | Py4JJavaError) -> Iterator[tuple[str, str | None]]:
    """Spark's name of the error and of those that led to it, with the path that each speaks of."""
    if isinstance(error, PySparkException):
        if condition := error.getCondition():
            yield condition, (error.getMessageParameters() or {}).get("path")
        return
    cause: Any = error.java_exception
    while cause is not None:
        if is_spark_throwable(cause) and (condition := cause.getCondition()):
            yield condition, cause.getMessageParameters().get("path")
        cause = cause.getCause()
