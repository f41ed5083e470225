r"""Every night: prepare the lake, score the requests of the day, and recommend.

`prepare` updates the lake to the newest delivery. `score` scores the requests of one run date. `recommend`
replaces the table of recommendations, but only in the newest run and in runs started by hand.

## Install

Copy this file into the DAGs folder, set `FIRST_RUN_DATE` in it, and set one Variable and one connection:

```
airflow variables set movierate '{
  "home": "/opt/movierate/environment",
  "properties_file": "/etc/movierate/spark.conf",
  "input": "/srv/movierate/input",
  "lake": "/srv/movierate/lake",
  "model": "/srv/movierate/model",
  "requests": "/srv/movierate/requests",
  "scores": "/srv/movierate/scores",
  "recommendations": "/srv/movierate/recommendations"
}'
airflow connections add movierate_spark --conn-type spark --conn-host yarn
```

Folders may be URIs such as `s3a://movies/lake`, but not `home` and `properties_file`.

`home` is the folder of the unpacked `movierate-spark-environment.tar.gz` (`docs/cluster.md`). Put the `bin`
of the cluster's Spark first on the workers' `PATH`, where Airflow looks for `spark-submit`. The connection's
host is the master: `local[4]`, `yarn`, `spark://host:7077` or `k8s://https://host:6443` (with
`apache-airflow-providers-cncf-kubernetes`). `properties_file` is your copy of `conf/yarn.conf`,
`conf/standalone.conf` or `conf/kubernetes.conf`; leave it out with a local master.

`prepare` replaces the lake by the delivery in `input`. If deliveries hold only what is new, set
`DELIVERIES_ADD` in this file: then `input` has a folder for each run date, such as `2026-03-02`, and
`prepare --add` adds it to the lake. Prepare the first lake by hand.

If you have settings of your own, list their files in `CONFIG_FILES`: every job gets them as `--config`.

The driver runs on the worker (client mode), so that the task gets the job's output and exit status.

## The run date

`ds` is the day on which a run starts. The run of 2 March starts at 03:00 UTC and scores
`requests/2026-03-02.csv`. A request without a time is scored as of midnight at the start of that day. The
ratings and the day's requests must be delivered by then. If requests are collected during the day and scored
after it, use `CronDataIntervalTimetable`: the run that starts on 3 March at 03:00 is then the run of 2 March.

Missed dates are caught up from `FIRST_RUN_DATE` on, the oldest first, each as of its own time. Each run
prepares the lake, which does nothing if the delivery is the same. To run earlier dates, or one date by hand:

```
airflow backfill create --dag-id movierate_nightly --max-active-runs 1 \
  --from-date 2025-12-01 --to-date 2026-01-01
airflow dags trigger movierate_nightly --logical-date 2026-03-02
```

## When something fails

- Results are published in one atomic commit: any task may be killed, retried or cleared. A finished date that
  is cleared does nothing, unless its requests, the lake or the model have changed: then it is scored again.
- Exit status 2, bad or missing input, is retried like any other failure, as usually the delivery is
  late.
- Exit status 3: another run published the same date first. The retry finds that date done.
- A date that has failed after all retries does not block other dates. Clear it when its requests are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.sdk import DAG, CronTriggerTimetable

FIRST_RUN_DATE = datetime(2026, 1, 1, tzinfo=UTC)
DELIVERIES_ADD = False
CONFIG_FILES: tuple[str, ...] = ()
RETRY_DELAY = timedelta(minutes=15)


def setting(name: str) -> str:
    """A template of one setting. It is evaluated when a task starts, not whenever this file is parsed."""
    return f"{{{{ var.json.movierate.{name} }}}}"


def job(
    name: str, options: Mapping[str, str], *flags: str, does: str, priority: int = 1
) -> SparkSubmitOperator:
    """A task that submits ``jobs/NAME.py`` with these options."""
    return SparkSubmitOperator(
        task_id=name,
        doc_md=does,
        priority_weight=priority,
        conn_id="movierate_spark",
        name=f"movierate {name} {{{{ ds }}}}",
        application=f"{setting('home')}/jobs/{name}.py",
        application_args=[
            *(word for option in options.items() for word in option),
            *(word for file in CONFIG_FILES for word in ("--config", file)),
            *flags,
        ],
        # Logs: the job's own lines instead of Spark's. A properties file may still set other Java options.
        conf={
            "spark.driver.defaultJavaOptions": (
                f"-Dlog4j2.configurationFile={setting('home')}/conf/log4j2.properties"
            ),
            # Not the worker's own Python, which is Airflow's.
            "spark.pyspark.driver.python": f"{setting('home')}/bin/python",
        },
        properties_file="{{ var.json.movierate.get('properties_file', '') }}",
    )


with DAG(
    "movierate_nightly",
    description="Score the requests of the day, and recommend",
    doc_md=__doc__,
    tags=["movierate", "spark"],
    schedule=CronTriggerTimetable("0 3 * * *", timezone="UTC"),
    start_date=FIRST_RUN_DATE,
    catchup=True,
    max_active_runs=1,  # dates may be scored at the same time, but not while one of them replaces the lake
    max_active_tasks=1,  # one Spark job at a time
    default_args={"retries": 3, "retry_delay": RETRY_DELAY, "execution_timeout": timedelta(hours=3)},
) as dag:
    lake = {"--lake": setting("lake")}
    model = {"--model": setting("model")}
    prepare = job(
        "prepare",
        {"--input": setting("input") + ("/{{ ds }}" if DELIVERIES_ADD else ""), **lake},
        *(["--add"] if DELIVERIES_ADD else []),
        does="Prepares the lake from the newest delivery.",
    )
    score = job(
        "score",
        {
            **lake,
            **model,
            "--requests": f"{setting('requests')}/{{{{ ds }}}}.csv",
            "--scores": setting("scores"),
            "--run-date": "{{ ds }}",
        },
        does="Scores the requests of the run date into its partition of the scores.",
        priority=3,  # before recommend, as users wait for scores
    )
    latest_only = LatestOnlyOperator(
        task_id="latest_only", doc_md="Skips `recommend` in all but the newest run."
    )
    recommend = job(
        "recommend",
        {**lake, **model, "--out": setting("recommendations"), "--top": "10"},
        does="Recommends each user's best movies as of the last rating in the lake.",
    )
    # recommend does not wait for score, so that late requests do not delay recommendations.
    prepare >> [score, latest_only]
    latest_only >> recommend
