"""What is installed: versions that are named exactly, and none with a published vulnerability; the image."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from helpers import ROOT
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from movierate_spark.cli.examination import JAVA_VERSIONS
from movierate_spark.session import SPARK_VERSIONS, properties_in

# The first versions that published advisories say are not affected, for what is asked for by name.
NOT_AFFECTED = {
    "jinja2": "3.1.6",  # CVE-2025-27516
    "numpy": "1.22.2",  # CVE-2021-41495
    "playwright": "1.56",  # CVE-2025-59288, CVE-2025-9611
    "pyarrow": "23.0.1",  # CVE-2023-47248, CVE-2026-25087
    "pydantic": "2.4",  # CVE-2024-3772
    "pydantic-settings": "2.14.2",  # GHSA-4xgf-cpjx-pc3j
    "pyspark": "4.0.1",  # CVE-2025-54920
    "pytest": "9.0.3",  # CVE-2025-71176
    "scipy": "1.10",  # CVE-2023-25399
    "uv": "0.11.15",  # GHSA-pjjw-68hj-v9mw, GHSA-4gg8-gxpx-9rph, GHSA-3cv2-h65g-fgmm
}


def test_no_version_with_a_published_vulnerability_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    floors = dict(re.findall(r"^([\w-]+)>=([\d.]+)", line)[0] for line in lines)

    def numbers(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    low = {name for name, safe in NOT_AFFECTED.items() if numbers(floors[name]) < numbers(safe)}
    assert low == set()


def test_constraints_name_exact_versions_of_everything_that_is_needed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [
        Requirement(line) for line in (*project["dependencies"], *project["optional-dependencies"]["dev"])
    ]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.+]+( ; .+)?", line)] == []
    exact = [(line.partition("==")[0], re.split(r"==| ;", line)[1].strip()) for line in lines]
    for need in needed:  # a package may have a version for each Python
        versions = [version for name, version in exact if name == need.name]
        assert versions, need.name
        assert [version for version in versions if version not in need.specifier] == [], need.name


def test_the_init_script_for_databricks_installs_everything_but_pyspark() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    command = re.search(
        r"--constraint constraints.txt (.*\\\n.*)\n", (ROOT / "docs" / "cluster.md").read_text()
    )
    assert command is not None
    installed = command[1].replace("\\\n", "").split()
    assert installed == sorted({Requirement(line).name for line in project["dependencies"]} - {"pyspark"})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")
def test_systemd_finds_nothing_wrong_with_the_units() -> None:
    units = sorted((ROOT / "conf" / "systemd").glob("movierate.*"))
    assert [unit.name for unit in units] == ["movierate.service", "movierate.timer"]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr  # the machine's own units may be in it
    assert (done.returncode, [line for line in output.splitlines() if "movierate" in line]) == (0, [])


def test_the_spark_that_the_jobs_need_is_the_pyspark_that_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    need = next(Requirement(line) for line in project["dependencies"] if line.startswith("pyspark"))
    minors = [f"4.{minor}" for minor in range(10)]
    assert tuple(minor for minor in minors if minor in need.specifier) == SPARK_VERSIONS


KUBERNETES = ROOT / "conf" / "kubernetes"


def instructions() -> list[tuple[str, str]]:
    """Those of the Dockerfile, each on one line."""
    lines = [line for line in (KUBERNETES / "Dockerfile").read_text().splitlines() if line[:1] != "#"]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], " ".join(line.split()[1:])) for line in whole if line]


def operands(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def test_the_image_is_made_of_named_versions_that_the_package_supports() -> None:
    assert re.fullmatch(r"debian:12\.\d+-slim", *operands("FROM"))
    (system, packages) = operands("RUN")
    (java,) = re.findall(r"openjdk-(\d+)-jre-headless", system)
    assert int(java) in JAVA_VERSIONS
    (python,) = set(re.findall(r"python(\d\.\d+)", system + packages))  # Debian 12's own
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python in SpecifierSet(project["requires-python"])
    (options,) = re.findall(r"pip install (.*?) /build &&", packages)
    assert options.endswith("--constraint /build/constraints.txt")


def test_what_the_image_copies_is_there() -> None:
    for copied in operands("COPY"):
        *sources, target = copied.split()
        assert [source for source in sources if not (ROOT / source).exists()] == []
        assert target.startswith("/")
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {
        built["project"]["readme"],
        *built["project"]["license-files"],
        "pyproject.toml",
        "constraints.txt",
    }
    assert needed <= {source for copied in operands("COPY") for source in copied.split()}


def test_the_image_does_not_run_as_root_and_is_what_its_settings_say() -> None:
    assert [int(user) > 0 for user in operands("USER")] == [True]
    home = Path(properties_in("kubernetes.conf")["spark.pyspark.python"]).parents[1]
    (packages,) = (run for run in operands("RUN") if "pip install" in run)
    assert packages.startswith(f"cd {home} && python3.11 -m venv .")
    assert f"jobs {home}/jobs" in operands("COPY")
    assert operands("ENTRYPOINT") == ['["/opt/movierate/entrypoint.sh"]']


def entered(tmp_path: Path, *arguments: str, **variables: str) -> list[str]:
    """What the image's script hands to tini."""
    (tmp_path / "tini").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "tini").chmod(0o755)
    done = subprocess.run(
        [KUBERNETES / "entrypoint.sh", *arguments],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SPARK_HOME": "/opt/spark", **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, *command = done.stdout.splitlines()
    assert (first, second) == ("-s", "--")
    return command


def test_an_executor_is_started_with_what_spark_says_in_variables(tmp_path: Path) -> None:
    options = {f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number} of 12" for number in range(12)}
    variables = {
        "SPARK_EXECUTOR_MEMORY": "1024m",
        "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
        "SPARK_EXECUTOR_ID": "1",
        "SPARK_EXECUTOR_CORES": "4",
        "SPARK_APPLICATION_ID": "spark-1",
        "SPARK_EXECUTOR_POD_IP": "10.0.0.2",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_EXECUTOR_POD_NAME": "movierate-exec-1",
        "SPARK_CONF_DIR": "/opt/spark/conf",
    }
    command = entered(tmp_path, "executor", **variables, **options)
    assert command[0] == "java"
    assert command[1:13] == list(options.values())
    assert command[13:18] == [
        *("-Xms1024m", "-Xmx1024m"),
        *("-cp", f"/opt/spark/conf:/opt/spark/jars/*:{tmp_path}"),
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend",
    ]
    pairs = dict(zip(command[18::2], command[19::2], strict=True))
    assert pairs == {
        "--driver-url": "spark://CoarseGrainedScheduler@10.0.0.1:7078",
        "--executor-id": "1",
        "--cores": "4",
        "--app-id": "spark-1",
        "--hostname": "10.0.0.2",
        "--resourceProfileId": "0",
        "--podName": "movierate-exec-1",
    }


def test_a_driver_is_submitted_in_its_pod_and_any_other_command_is_run(tmp_path: Path) -> None:
    job = ("--properties-file", "/opt/spark/conf/spark.properties", "local:///jobs/score.py", "--lake", "a b")
    assert entered(tmp_path, "driver", *job, SPARK_DRIVER_BIND_ADDRESS="10.0.0.1") == [
        *("/opt/spark/bin/spark-submit", "--deploy-mode", "client"),
        *("--conf", "spark.driver.bindAddress=10.0.0.1", *job),
    ]
    assert entered(tmp_path, "spark-submit", "a b") == ["spark-submit", "a b"]
