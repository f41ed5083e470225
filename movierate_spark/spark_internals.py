"""Spark's private calls, each with the reason for it: what to check when Spark is upgraded.

None of them can be had under Spark Connect. Nothing else calls what Spark names with an underscore; the
methods that its classes leave to their heirs (``_fit``, ``_transform``) are no calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.ml.classification import LogisticRegression


def ensure_jvm() -> None:
    """Reach the driver's JVM without starting Spark in it.

    ``SparkConf`` reads what ``spark-submit`` was given from the JVM, and only a context that is started
    reaches it publicly.
    """
    SparkContext._ensure_initialized()


def in_uris(spark: SparkSession, paths: Iterable[Path]) -> list[str]:
    """Paths as they stand in the URIs of ``_metadata.file_path``.

    Hadoop writes these, and it alone knows which characters it escapes.
    """
    jvm: Any = spark._jvm
    return [jvm.org.apache.hadoop.fs.Path(str(path)).toUri().getRawPath() for path in paths]


def is_spark_throwable(error: Any) -> bool:
    """Whether a Java exception has Spark's name for what went wrong.

    py4j needs the gateway to tell a Java object's class, and PySpark keeps it to itself.
    """
    return bool(is_instance_of(SparkContext._gateway, error, "org.apache.spark.SparkThrowable"))


def set_initial_model(estimator: LogisticRegression, coefficients: Sequence[float], intercept: float) -> None:
    """Let a fit start from these coefficients, one for each feature; where it can't, nothing is done.

    PySpark has no parameter for it: the estimator in the JVM has a method that is private in Scala only.
    """
    # Half a second to load, which jobs without a model do without.
    from pyspark.ml.common import _py2java
    from pyspark.ml.linalg import Vectors

    with suppress(AttributeError, Py4JError):
        context = SparkSession.active().sparkContext
        jvm: Any = context._jvm
        vector = _py2java(context, Vectors.dense(coefficients))
        model = jvm.org.apache.spark.ml.classification.LogisticRegressionModel("start", vector, intercept)
        cast("Any", estimator)._java_obj.setInitialModel(model)
