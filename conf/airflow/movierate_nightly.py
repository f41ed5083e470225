r"""Every night: prepare the lake, score the requests of the day, and recommend.

`prepare` brings the lake up to the newest delivery, `score` scores the requests of one run date, and
`recommend` makes everybody's best movies anew, in the newest run (and in those started by hand): there is one
table of them.

## Install

Copy this file into the DAGs folder, set `FIRST_RUN_DATE` in it, and say where things are, in one Variable and
one connection:

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

`home` is `movierate-spark-environment.tar.gz`, unpacked (`docs/cluster.md`). Its `bin` comes first on the
workers' `PATH`, where `spark-submit` is looked up. The connection's host is the master: `local[4]`, `yarn`,
`spark://host:7077` or `k8s://https://host:6443` (with `apache-airflow-providers-cncf-kubernetes`).
`properties_file` is your copy of `conf/yarn.conf`, `conf/standalone.conf` or `conf/kubernetes.conf`; leave it
out with a local master.

The driver runs on the worker (client mode), so that the job's lines and its exit status reach the task.

## The run date

`ds` is the day on which a run starts. The run of 2 March starts at 03:00 UTC and scores
`requests/2026-03-02.csv`; a request that names no time is scored as of that day's midnight. The delivery of
ratings and the day's requests lie there by then. Where requests gather during the day and are scored when it
is over, write `CronDataIntervalTimetable`: what starts on 3 March at 03:00 is then the run of 2 March.

Missed dates are caught up, from `FIRST_RUN_DATE` on and oldest first, each as of its own time. Each prepares
the lake, which does nothing where the delivery is still the same. Earlier dates, and a run by hand:

```
airflow backfill create --dag-id movierate_nightly --max-active-runs 1 \
  --from-date 2025-12-01 --to-date 2026-01-01
airflow dags trigger movierate_nightly --logical-date 2026-03-02
```

## When something fails

- Everything is published in one atomic commit: any task may be killed, retried or cleared. A finished date,
  cleared, does nothing, unless its requests, the lake or the model are others by now: then it is scored anew.
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
        application=f"{setting('home')}/jobs/{name}.py",
        application_args=[word for option in options.items() for word in option],
        # The job's own lines and not a thousand of Spark's; a properties file may add other Java options.
        conf={
            "spark.driver.defaultJavaOptions": (
                f"-Dlog4j2.configurationFile={setting('home')}/conf/log4j2.properties"
            )
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
    latest_only = LatestOnlyOperator(
        task_id="latest_only", doc_md="Skips `recommend` in all but the newest run."
    )
    recommend = job(
        "recommend",
        {**lake, **model, "--out": setting("recommendations"), "--top": "10"},
        does="Everybody's best movies as of the last rating in the lake.",
    )
    # recommend does not wait for score: a day whose requests are late gets its recommendations all the same.
    prepare >> [score, latest_only]
    latest_only >> recommend
