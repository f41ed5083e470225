"""All uses of Spark's private API, each with its reason: check them when Spark is upgraded.

None of them works with Spark Connect. No other module calls a name of Spark with an underscore. Overriding
methods such as ``_fit`` or ``_transform`` in subclasses does not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError
from pyspark import Broadcast, SparkContext
from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.ml.classification import LogisticRegression


def ensure_jvm() -> None:
    """Connect to the driver's JVM without starting a Spark context.

    ``SparkConf`` reads the options of ``spark-submit`` from the JVM. The public API connects to the JVM only
    by starting a context.
    """
    SparkContext._ensure_initialized()


def running_spark() -> str | None:
    """The version of Spark in the driver's JVM; None if no JVM has been started.

    ``spark.version`` needs a context, and starting one may take long or fail with another version.
    """
    if SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ:
        return None
    ensure_jvm()
    jvm: Any = SparkContext._jvm
    return str(jvm.org.apache.spark.package.SPARK_VERSION())


def in_uris(spark: SparkSession, paths: Iterable[Path]) -> list[str]:
    """Paths as in the URIs of ``_metadata.file_path``, without scheme and host.

    Hadoop makes these URIs, and Python has no function that escapes the same characters.
    """
    jvm: Any = spark._jvm
    return [jvm.org.apache.hadoop.fs.Path(str(path)).toUri().getRawPath() for path in paths]


def is_spark_throwable(error: Any) -> bool:
    """Whether a Java exception is a ``SparkThrowable``, which has Spark's error class.

    py4j needs the gateway to check a Java object's class, and in PySpark the gateway is private.
    """
    return bool(is_instance_of(SparkContext._gateway, error, "org.apache.spark.SparkThrowable"))


def release(broadcast: Broadcast[Any]) -> None:
    """Free the memory that a broadcast value takes in this process; its next use reads it again.

    PySpark keeps each value that a Python worker has read until the worker ends, and its ``unpersist`` works
    on the driver only. Where Spark encrypts, workers can't read it again: there it is kept.
    """
    if getattr(broadcast, "_path", None) is not None:
        vars(broadcast).pop("_value", None)


def set_initial_model(estimator: LogisticRegression, coefficients: Sequence[float], intercept: float) -> None:
    """Make a fit start from these coefficients, one per feature; do nothing if Spark can't.

    PySpark has no parameter for it. The estimator in the JVM has a method that is private only in Scala.
    """
    # Imported here, as it takes half a second and jobs without a model do not need it.
    from pyspark.ml.common import _py2java
    from pyspark.ml.linalg import Vectors

    with suppress(AttributeError, Py4JError):
        context = SparkSession.active().sparkContext
        jvm: Any = context._jvm
        vector = _py2java(context, Vectors.dense(coefficients))
        model = jvm.org.apache.spark.ml.classification.LogisticRegressionModel("start", vector, intercept)
        cast("Any", estimator)._java_obj.setInitialModel(model)
