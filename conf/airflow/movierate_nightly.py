"""Every night: prepare the lake, score the requests of the day, and recommend.

`prepare` brings the lake up to the newest delivery, `score` scores the requests of one run date, and
`recommend` makes everybody's best movies anew, in the newest run only: there is one table of them.

## Install

Copy this file into the DAGs folder, set `FIRST_RUN_DATE` in it, and say where things are, in one Variable and
one connection:

```
airflow variables set movierate '{
  "jobs": "/opt/movierate/environment/jobs",
  "python": "/opt/movierate/environment/bin/python",
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

`/opt/movierate/environment` is `movierate-spark-environment.tar.gz`, unpacked; its `bin` is first on the
workers' `PATH`, as `spark-submit` is looked up there. The connection's host is the master: `local[4]`, `yarn`,
`spark://host:7077`. `properties_file` is your copy of `conf/yarn.conf` or `conf/standalone.conf`, with one more
line that sends the executors their environment; a local master needs no such file:

```
spark.archives  /opt/movierate/movierate-spark-environment.tar.gz#environment
```

The driver runs on the worker (client mode), so that the job's lines and its exit status reach the task.

## The run date

`ds` is the day on which a run starts. The run of 2 March starts at 03:00 UTC and scores
`requests/2026-03-02.csv`; a request that names no time is scored as of that day's midnight. The delivery of
ratings and the day's requests lie there by then. Where requests gather during the day and are scored when it
is over, write `CronDataIntervalTimetable`: what starts on 3 March at 03:00 is then the run of 2 March.

A run by hand needs a date as well: `airflow dags trigger movierate_nightly --logical-date 2026-03-02`.

Missed dates are caught up, oldest first, each as of its own time. Each of them prepares the lake, which does
nothing where the delivery is still the same.

## When something fails

- Everything is published in one atomic commit: any task may be killed, retried or cleared. A finished date,
  cleared, does nothing again, unless its requests, the lake or the model are others by now: it is scored anew.
- Exit status 2, a bad or missing input, is retried like any other: most often the delivery is late.
- Exit status 3: another run of the same date was faster. The retry finds that date done.
- A date that has failed for good holds up no other. Clear it when its requests are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.operators.latest_only import LatestOnlyOperator
from airflow.sdk import DAG, CronTriggerTimetable

FIRST_RUN_DATE = datetime(2026, 1, 1, tzinfo=UTC)
RETRY_DELAY = timedelta(minutes=15)


def setting(name: str) -> str:
    """A template of one setting, looked up when a task starts and not whenever this file is parsed."""
    return f"{{{{ var.json.movierate.{name} }}}}"


def job(name: str, options: Mapping[str, str], *, does: str, priority: int = 1) -> SparkSubmitOperator:
    """A task that submits ``jobs/NAME.py`` with these options."""
    return SparkSubmitOperator(
        task_id=name,
        doc_md=does,
        priority_weight=priority,
        conn_id="movierate_spark",
        name=f"movierate {name} {{{{ ds }}}}",
        application=f"{setting('jobs')}/{name}.py",
        application_args=[word for option in options.items() for word in option],
        # By default that of the executors, which lies beside them: a task has no folder to unpack it into.
        conf={"spark.pyspark.driver.python": setting("python")},
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
    max_active_runs=1,  # dates may be scored side by side, but not while one of them replaces the lake
    max_active_tasks=1,  # one Spark job at a time
    default_args={"retries": 3, "retry_delay": RETRY_DELAY, "execution_timeout": timedelta(hours=3)},
) as dag:
    lake = {"--lake": setting("lake")}
    model = {"--model": setting("model")}
    prepare = job(
        "prepare",
        {"--input": setting("input"), **lake},
        does="The newest delivery to the lake.",
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
        does="The requests of the run date to its partition of the scores.",
        priority=3,  # before recommend, as scores are waited for
    )
    latest_only = LatestOnlyOperator(task_id="latest_only", doc_md="Skips `recommend` in all but the newest run.")
    recommend = job(
        "recommend",
        {**lake, **model, "--out": setting("recommendations"), "--top": "10"},
        does="Everybody's best movies as of the last rating in the lake.",
    )
    # recommend does not wait for score: a day whose requests are late gets its recommendations all the same.
    prepare >> [score, latest_only]
    latest_only >> recommend
