"""All uses of Spark's private API, each with its reason: check them when Spark is upgraded.

None of them works with Spark Connect. No other module calls a name of Spark with an underscore. The
protected methods of Spark ML, such as ``_fit`` or ``_set``, do not count in subclasses of its classes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JError
from pyspark import Broadcast, SparkConf, SparkContext
from pyspark.sql import SparkSession

from movierate_spark.errors import InputError
from movierate_spark.redaction import is_secret

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


def launch_jvm(properties: Mapping[str, str]) -> bool:
    """Start the driver's JVM with Spark properties, but no Spark context; whether none was running before.

    PySpark starts a JVM with its properties on the command line, which every user of the machine can read:
    secrets are left out. A context gets them later.
    """
    is_new = SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ
    public = [(name, value) for name, value in properties.items() if not is_secret(name)]
    SparkContext._ensure_initialized(conf=SparkConf(loadDefaults=False).setAll(public))
    return is_new


def start_jvm(properties: Mapping[str, str]) -> None:
    """Start the driver's JVM so that it can reach file systems before there is a Spark context.

    Hadoop's configuration, which tells how to reach a file system, is read by Java. Where ``spark-submit``
    has started the JVM, only what it was not given is added for Hadoop.
    """
    is_new = launch_jvm(properties)
    system = running_jvm().java.lang.System
    for name, value in properties.items():
        is_missing = system.getProperty(name) is None or (is_new and is_secret(name))
        if name.startswith("spark.hadoop.") and is_missing:
            system.setProperty(name, value)


def running_jvm() -> Any:
    """The driver's JVM.

    Raises:
        InputError: it is not running.
    """
    if SparkContext._jvm is None:
        raise InputError("a URI can be reached only when Spark is running: call local_session() first")
    return SparkContext._jvm


def hadoop_configuration() -> Any:
    """Hadoop's configuration as Spark uses it, also before Spark's context has started.

    PySpark has no public access to it. Before there is a context, Spark's own helper adds ``spark.hadoop.*``.
    """
    jvm, context = running_jvm(), SparkContext._active_spark_context
    if context is not None:
        return cast("Any", context)._jsc.hadoopConfiguration()
    return jvm.org.apache.spark.deploy.SparkHadoopUtil.get().conf()


def java_array(kind: Any, items: Sequence[Any]) -> Any:
    """A Java array, for a method with a variable number of arguments."""
    array = cast("Any", SparkContext._gateway).new_array(kind, len(items))
    for place, item in enumerate(items):
        array[place] = item
    return array


def in_uris(spark: SparkSession, uris: Iterable[str]) -> list[str]:
    """Paths as in the URIs of ``_metadata.file_path``, without scheme and host.

    Hadoop makes these URIs, and Python has no function that escapes the same characters.
    """
    jvm: Any = spark._jvm
    return [jvm.org.apache.hadoop.fs.Path(uri).toUri().getRawPath() for uri in uris]


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
