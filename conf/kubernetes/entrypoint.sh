#!/bin/bash
# What a container of the image runs. Spark starts its pods with the argument `driver` or `executor` and says the rest
# in variables (BasicExecutorFeatureStep and BasicDriverFeatureStep in its sources). Anything else is a command.
# Spark's releases have such a script, but PySpark's package does not.
set -eu

case "${1:-}" in
  driver)
    shift
    set -- "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" "$@"
    ;;
  executor)
    options=()
    for ((number = 0; ; number++)); do
      name=SPARK_JAVA_OPT_$number
      [ -n "${!name+set}" ] || break
      options+=("${!name}")
    done
    classes="$SPARK_HOME/jars/*:$PWD"
    for before in "${SPARK_CLASSPATH:-}" "${HADOOP_CONF_DIR:-}" "${SPARK_CONF_DIR:-}"; do
      classes="${before:+$before:}$classes"
    done
    set -- "${JAVA_HOME:+$JAVA_HOME/bin/}java" "${options[@]}" \
      "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classes" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" \
      --executor-id "$SPARK_EXECUTOR_ID" \
      --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" \
      --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
      --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
esac
# tini passes signals on, and buries Python workers that outlive their daemon.
exec tini -s -- "$@"
