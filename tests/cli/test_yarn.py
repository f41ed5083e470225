"""Spark on YARN and HDFS: what the tests of jobs there stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import ARCHIVE
from servers import CLIENT, CLUSTER, MiniCluster, mini_cluster

pytestmark = pytest.mark.cluster

# Prints where the driver and an executor run Python, leaves a table, and fails if told so.
JOB = """
import sys
from pyspark.sql import SparkSession

def where(batches):
    import movierate_spark
    for batch in batches:
        batch["told"] = f"executor {sys.executable} {movierate_spark.__file__}"
        yield batch[["told"]]

out, *failure = sys.argv[1:]
spark = SparkSession.builder.getOrCreate()
print("driver", sys.executable)
frame = spark.range(4).repartition(2).mapInPandas(where, "told string")
frame.write.text(out)
print(*sorted(row["value"] for row in spark.read.text(out).distinct().collect()), sep="\\n")
if failure:
    raise ValueError(*failure)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniCluster]:
    with mini_cluster(tmp_path_factory.mktemp("hadoop")) as started:
        yield started


@pytest.fixture(scope="module")
def on_yarn(cluster: MiniCluster) -> dict[str, str]:
    """Properties with which executors have nothing but the shipped archive."""
    if not ARCHIVE.exists():
        pytest.fail(f"{ARCHIVE} is missing: run make dist")
    return {"spark.archives": f"{cluster.put(ARCHIVE, f'/apps/{ARCHIVE.name}')}#environment"}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path / "job.py"


def run_on_the_archive(line: str) -> bool:
    """Whether the Python and the package that a process names are those of its container."""
    _, *paths = line.split()
    return all("container_" in path and "/environment/" in path for path in paths)


def test_a_file_on_hdfs_is_read_without_its_host(cluster: MiniCluster, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("one\ntwo\n")
    address = cluster.put(tmp_path / "lines", "/lines")
    (tmp_path / "count.py").write_text(
        "import sys; from pyspark.sql import SparkSession\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        "spark.read.text(sys.argv[1]).write.text(sys.argv[2])\n"
        "print(spark.read.text(sys.argv[3]).count())\n"
    )
    paths = "/lines", f"{cluster.file_system}/copy", "/copy"
    done = cluster.submit(tmp_path / "count.py", *paths, properties=CLIENT | {"spark.master": "local[1]"})
    assert done.stdout.split() == ["2"], done.stderr
    assert address == f"{cluster.file_system}/lines"


def test_in_client_mode_executors_run_on_the_archive(
    cluster: MiniCluster, on_yarn: dict[str, str], job: Path
) -> None:
    done = cluster.submit(job, "/client", properties=on_yarn | CLIENT)
    assert done.returncode == 0, done.stderr
    driver, *executors = done.stdout.splitlines()
    assert driver.startswith("driver ")
    assert executors
    assert all(map(run_on_the_archive, executors)), executors
    assert cluster.applications()[0]["finalStatus"] == "SUCCEEDED"


def test_in_cluster_mode_the_driver_does_so_too(
    cluster: MiniCluster, on_yarn: dict[str, str], job: Path
) -> None:
    done = cluster.submit(job, "/cluster", properties=on_yarn | CLUSTER)
    application = cluster.applications()[0]
    printed = cluster.logs(application["id"])
    assert done.returncode == 0, printed
    output = "".join(text for name, text in printed.items() if name.endswith("stdout"))
    driver, *executors = output.splitlines()
    assert run_on_the_archive(driver)
    assert executors
    assert all(map(run_on_the_archive, executors)), executors
    assert done.stdout == ""


def test_in_cluster_mode_a_failure_is_seen_from_outside_and_not_run_again(
    cluster: MiniCluster, on_yarn: dict[str, str], job: Path
) -> None:
    done = cluster.submit(job, "/failed", "on purpose", properties=on_yarn | CLUSTER)
    application = cluster.applications()[0]
    assert done.returncode == 1, done.stderr
    assert application["finalStatus"] == "FAILED"
    logs = cluster.logs(application["id"])
    assert any("ValueError: on purpose" in text for text in logs.values())
    attempts = {container.split("_")[3] for container in logs}
    assert attempts == {"01"}  # YARN itself would make a second one
