"""Several commands in one Spark session."""

from __future__ import annotations

import shlex
from datetime import date
from pathlib import Path

import pytest
from deliveries import write
from helpers import ROOT, RUN_DATE, Movierate, lake_and_model, one_line, read_scores
from pyspark.sql import SparkSession

from movierate_spark import session
from movierate_spark.cli.batch import words_of
from movierate_spark.cli.run import Run


def command(*words: object) -> str:
    return shlex.join(map(str, words))


def test_commands_share_a_session_until_one_fails(
    spark: SparkSession,
    movierate: Movierate,
    plain_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started, build = [], session.build_session

    def counted(*arguments: object) -> SparkSession:
        started.append(arguments)
        return build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(session, "build_session", counted)
    write(tmp_path / f"the day {RUN_DATE}.csv", ["user_id,movie_id", "1,2", "x,3"])
    inputs, scores = lake_and_model(plain_home), ("--scores", tmp_path / "scores", "--run-date", "{run_date}")
    night = [
        "# Every night",
        command("score", *inputs, "--requests", tmp_path / "the day {run_date}.csv", *scores),
        "",
        command("runs", tmp_path / "scores"),
        command("score", *inputs, "--requests", tmp_path / "none.csv", *scores),
        command("recommend", *inputs, "--out", tmp_path / "best", "--top", 10),
    ]
    write(tmp_path / "night.txt", night)
    outcome = movierate("batch", tmp_path / "night.txt", "--run-date", RUN_DATE)
    missing = tmp_path / "none.csv"
    assert one_line(outcome) == f"movierate score: --requests {missing}: no such file\n"
    assert len(started) == 1
    assert [(row["user_id"], row["movie_id"]) for row in read_scores(spark, tmp_path / "scores")] == [(1, 2)]
    assert f"+ movierate score --lake {plain_home / 'lake'}" in outcome.out
    assert "requests: read 2 = scored 1 + rejected 1\n" in outcome.out
    assert not (tmp_path / "best").exists()
    assert Run.session is None


def test_settings_of_the_batch_are_for_every_command_whose_own_win(
    spark: SparkSession, tmp_path: Path
) -> None:
    write(tmp_path / "batch.toml", ["[train]", "folds = 7", "[label]", "min_rating = 3.0"])
    write(tmp_path / "own.toml", ["[label]", "min_rating = 2.0"])
    with Run.in_batch(spark, [tmp_path / "batch.toml"]):
        plain, own = Run("train", None).settings, Run("train", [tmp_path / "own.toml"]).settings
    after = Run("train", None).settings
    assert [each.train.folds for each in (plain, own, after)] == [7, 7, 3]
    assert [each.label.min_rating for each in (plain, own, after)] == [3.0, 2.0, 4.0]


NO_COMMAND = "is no command; write it as: score --lake lake ..."


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("movierate score --lake lake", f"movierate {NO_COMMAND}"),
        ("batch other.txt", f"batch {NO_COMMAND}"),
        ("score --lake 'lake", "No closing quotation"),
        ("vacuum", "Missing argument 'DIR...'. (see movierate vacuum --help)"),
        (
            "recommend --lake lake --model model --out best",
            "Missing option '--top'. (see movierate recommend --help)",
        ),
        (
            "simulate --out made --ratings many",
            "Invalid value for '--ratings': Input should be a valid integer, unable to parse string as an "
            "integer (see movierate simulate --help)",
        ),
    ],
)
def test_a_file_with_a_line_that_is_no_command_is_refused_before_any_is_run(
    movierate: Movierate, tmp_path: Path, line: str, message: str
) -> None:
    file = tmp_path / "night.txt"
    write(file, [command("simulate", "--out", tmp_path / "made", "--ratings", 1000), line])
    assert one_line(movierate("batch", file)) == f"movierate batch: {file}: line 2: {message}\n"
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_not_there_or_a_date_that_is_none_is_refused(
    movierate: Movierate, tmp_path: Path
) -> None:
    missing = tmp_path / "night.txt"
    assert one_line(movierate("batch", missing)) == (
        f"movierate batch: {missing}: it can't be read (FileNotFoundError)\n"
    )
    write(missing, ["doctor"])
    assert one_line(movierate("batch", missing, "--run-date", "yesterday")).startswith(
        "movierate batch: --run-date yesterday"
    )


def test_the_run_date_is_not_the_date_that_score_replaces_itself() -> None:
    line = "score --requests 'of {date}.csv' --from 2000-12-01 --to {run_date}"
    words = words_of(line, date(2000, 12, 31), where="")
    assert words[1:] == ["--requests", "of {date}.csv", "--from", "2000-12-01", "--to", "2000-12-31"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "there is no command in it"),
        (["# Nothing yet"], "there is no command in it"),
        (["recommend --out best/{run_date}"], "line 1: {run_date} is in it: give --run-date"),
    ],
)
def test_a_file_without_commands_or_with_a_date_that_is_not_given_is_refused(
    movierate: Movierate, tmp_path: Path, lines: list[str], message: str
) -> None:
    write(tmp_path / "night.txt", lines)
    refused = f"movierate batch: {tmp_path / 'night.txt'}: {message}\n"
    assert one_line(movierate("batch", tmp_path / "night.txt")) == refused


def test_the_night_of_the_service_consists_of_commands() -> None:
    lines = (ROOT / "conf" / "systemd" / "night.txt").read_text().splitlines()
    commands = [words_of(line, date(2000, 12, 31), where="night.txt") for line in lines]
    assert [words[0] for words in commands if words] == ["prepare", "score"]
