"""What is installed: versions that are named exactly, and none with a published vulnerability."""

from __future__ import annotations

import re
import tomllib

from helpers import ROOT
from packaging.requirements import Requirement

from movierate_spark.session import SPARK_VERSIONS

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


def test_the_spark_that_the_jobs_need_is_the_pyspark_that_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    need = next(Requirement(line) for line in project["dependencies"] if line.startswith("pyspark"))
    minors = [f"4.{minor}" for minor in range(10)]
    assert tuple(minor for minor in minors if minor in need.specifier) == SPARK_VERSIONS
