"""Disks that are full, deliveries that are cut off, bits that flip: nothing half is taken for a whole."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from deliveries import write
from helpers import Movierate, Outcome
from pyspark.sql import SparkSession

from movierate_spark import schemas
from movierate_spark.storage.tables import current_files, is_delta_table, read_table

DAY = "2000-12-31"


@pytest.fixture
def home(plain_home: Path) -> Path:
    """What is tested here is the same for every model: the one that scores fastest will do."""
    return plain_home


def score(movierate: Movierate, lake: Path, model: Path, requested: Path, scores: Path) -> Outcome:
    inputs = ("--lake", lake, "--model", model, "--requests", requested)
    return movierate("score", *inputs, "--scores", scores, "--run-date", DAY)


def cut_off(path: Path, content: bytes) -> Path:
    """A gzip file whose last bytes have not arrived."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = gzip.compress(content)
    path.write_bytes(whole[: len(whole) * 9 // 10])
    return path


def test_a_gzip_delivery_that_is_cut_off_is_refused(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    source = tmp_path / "input"
    shutil.copytree(home / "input", source)
    ratings = source / "ratings.dat"
    cut_off(source / "ratings.dat.gz", ratings.read_bytes())
    ratings.unlink()
    prepared = movierate("prepare", "--input", source, "--lake", tmp_path / "lake")
    pairs = "".join(f"{user},{movie}\n" for user in range(1, 41) for movie in range(1, 31))
    requests = cut_off(tmp_path / "requests.csv.gz", f"user_id,movie_id\n{pairs}".encode())
    scored = score(movierate, home / "lake", home / "model", requests, tmp_path / "scores")
    for outcome, path in ((prepared, source / "ratings.dat.gz"), (scored, requests)):
        assert outcome.status == 2
        assert outcome.err.endswith(f"{path}: the gzip file is damaged or cut off: deliver it again\n")
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "lake").exists()
    assert not (tmp_path / "scores").exists()


def test_a_delivery_one_row_short_of_its_stated_size_is_refused(
    movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "input", tmp_path / "input")
    ratings = tmp_path / "input" / "ratings.dat"
    ratings.write_bytes(b"".join(ratings.read_bytes().splitlines(keepends=True)[:-1]) + b"\n")
    arguments = ("prepare", "--input", tmp_path / "input", "--lake", tmp_path / "lake")
    short = movierate(*arguments, "--expect-rows", "movies=30", "--expect-rows", "ratings=800")
    assert short.status == 2
    assert f"{ratings}: 799 rows, expected 800: is the delivery complete?" in short.err
    assert not (tmp_path / "lake").exists()
    assert "give it as ratings=1000209" in movierate(*arguments, "--expect-rows", "stars=3").err
    assert movierate(*arguments, "--expect-rows", "ratings=799").status == 0
    again = movierate(*arguments, "--expect-rows", "ratings=800")
    assert again.status == 2


def flip_a_bit(file: Path) -> None:
    """In the middle of a Parquet file's pages, and as if the file system had not noticed."""
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)
    file.with_name(f".{file.name}.crc").unlink()


def test_a_flipped_bit_in_the_lake_is_noticed(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(home / "lake", lake)
    write(tmp_path / "requests.csv", ["user_id,movie_id", "1,2", "3,4"])
    ratings = lake / "ratings"
    damaged = max((ratings / name for name in current_files(ratings)), key=lambda file: file.stat().st_size)
    flip_a_bit(damaged)
    outcome = score(movierate, lake, home / "model", tmp_path / "requests.csv", tmp_path / "scores")
    assert outcome.status == 1
    assert "Spark failed: FAILED_READ_FILE" in outcome.err
    assert f"{damaged} is damaged or missing: restore it or make it again\n" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "scores" / "_delta_log").exists()


SIZE = 300_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here: run it as root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # a failed job's last task may still write


def rows(spark: SparkSession, scores: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The scores and the rejected requests; none where there are no such tables yet."""
    tables = (scores, schemas.SCORES), (scores / "_rejected", schemas.REJECTED_REQUESTS)
    good, bad = (
        read_table(spark, path, schema).collect() if is_delta_table(path) else [] for path, schema in tables
    )
    return sorted(tuple(row)[:8] for row in good), sorted(map(tuple, bad))


SPACES = [pytest.param(free, marks=pytest.mark.faults) for free in range(0, 240_000, 20_000)]


@pytest.mark.parametrize(
    "is_new",
    [pytest.param(False, id="of a table"), pytest.param(True, id="of a new table", marks=pytest.mark.faults)],
)
@pytest.mark.parametrize("free", [40_000, *SPACES])
def test_a_full_disk_leaves_the_old_scores_or_the_new_ones_and_the_next_run_mends_it(
    movierate: Movierate,
    spark: SparkSession,
    home: Path,
    small_disk: Path,
    tmp_path: Path,
    free: int,
    is_new: bool,
) -> None:
    lake, model, scores = home / "lake", home / "model", small_disk / "scores"
    write(tmp_path / "few.csv", ["user_id,movie_id", "1,2", "3,4"])
    pairs = [f"{user},{movie}" for user in range(1, 41) for movie in range(1, 31)]
    write(tmp_path / "many.csv", ["user_id,movie_id", *pairs, "x,1"])
    if not is_new:
        assert score(movierate, lake, model, tmp_path / "few.csv", scores).status == 0
    before, _ = rows(spark, scores)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(max(shutil.disk_usage(small_disk).free - free, 0)))
    full = score(movierate, lake, model, tmp_path / "many.csv", scores)
    after, _ = rows(spark, scores)
    if after == before:
        assert full.status == 1
        assert "o space left on device" in full.err
        assert full.err.count("\n") == 1, full.err
    else:
        assert len(after) == len(pairs)
    filler.unlink()
    assert score(movierate, lake, model, tmp_path / "many.csv", scores).status == 0
    mended, rejected = rows(spark, scores)
    assert len(mended) == len(pairs)
    assert after in (before, mended)
    assert [row[2] for row in rejected] == ["x,1"]
    assert movierate("vacuum", scores, "--retention-hours", 0, "--even-recent").status == 0
    tables = scores, scores / "_rejected"
    current = {str(table / name) for table in tables for name in current_files(table)}
    assert set(map(str, scores.rglob("*.parquet"))) == current
