"""Bad input ends with one line and status 2, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from deliveries import START, ml_1m, write
from helpers import DAY, Movierate, T, listing, one_line

from movierate_spark import session


@pytest.fixture
def home(plain_home: Path) -> Path:
    """What is refused is the same for every model: the one that is trained fastest will do."""
    return plain_home


def bad_commands(home: Path, folder: Path) -> list[tuple[list[object], str]]:
    """Commands that must fail, with a part of what they say; ``folder`` holds what they are pointed at."""
    lake, model, new, stuff = home / "lake", home / "model", folder / "new", folder / "stuff"
    prepare, train = ["prepare", "--lake", new, "--input"], ["train", "--model", new, "--lake", lake]
    evaluate = ["evaluate", "--lake", lake, "--model", model, "--out", new, "--since"]
    score = ["score", "--lake", lake, "--model", model, "--run-date", "2000-12-31"]
    audience = ["audience", "--lake", lake, "--model", model]
    recommend = ["recommend", "--lake", lake, "--model", model, "--out", new, "--top", 2]
    return [
        ([*prepare, folder / "none"], "does not exist"),
        ([*prepare, stuff], "it holds thesis.txt"),
        ([*prepare, home / "input", "--format", "csv"], "none of ratings.csv"),
        ([*prepare, home / "input", "--format", "xml"], "--format"),
        ([*prepare, home / "input", "--lake", stuff], "holds something else (thesis.txt)"),
        ([*prepare, folder / "bad"], "1 of 1 ratings rejected"),
        (["prepare", "--input", home / "input"], "Missing option '--lake'"),
        ([*train, "--lake", stuff], "no lake there"),
        ([*train, "--model", stuff], "holds something else (thesis.txt)"),
        ([*train, "--until", "2999-01-01"], "in the future"),
        ([*train, "--until", "1999-01-01"], "no ratings before"),
        ([*train, "--until", START + 1], "ratings"),
        ([*train, "--config", folder / "none.toml"], "no such file"),
        ([*evaluate, T, "--model", stuff], "no bundle there"),
        ([*evaluate, T - 100 * DAY], "or allow overlap"),
        ([*evaluate, "2010-01-01"], "no ratings to evaluate"),
        ([*evaluate, T, "--until", T], "is not after"),
        ([*evaluate, T, "--out", stuff], "holds something else"),
        ([*score, "--scores", new, "--requests", folder / "none.csv"], "no such file"),
        ([*score, "--scores", new, "--requests", folder / "zero.csv"], "0 bytes"),
        (
            [*score, "--scores", new, "--requests", folder / "_hidden.csv"],
            "Spark ignores files whose names begin",
        ),
        ([*score, "--scores", new, "--requests", folder / "bad.csv"], "missing column(s) user_id, movie_id"),
        ([*score, "--scores", stuff, "--requests", folder / "bad.csv"], "holds something else (thesis.txt)"),
        ([*score, "--scores", new, "--requests", new, "--run-date", "31.12.2000"], "YYYY-MM-DD"),
        ([*audience, "--genres", "Drama", "--year", 99_999_999_999], "--year"),
        (
            [*audience, "--movie", 1, "--at", "1999-01-01"],
            "--at 1999-01-01T00:00:00+00:00: there are no ratings before it",
        ),
        ([*recommend, "--config", folder / "genres.toml"], "[recommend] genres: no movie is of Sci-fi"),
        (
            [*recommend, "--at", "1999-01-01"],
            "--at 1999-01-01T00:00:00+00:00: there are no ratings before it",
        ),
        (["prepare", "--lake", lake, "--undo", "--format", "csv"], "--lake and --config only"),
        (["simulate", "--out", stuff, "--ratings", 2000], "thesis.txt"),
        (["simulate", "--out", new, "--ratings", 3], "ratings"),
        (["demo", "--out", stuff], "holds something else (thesis.txt)"),
        (["vacuum", lake, "--retention-hours", "inf"], "--retention-hours inf: give a number of hours"),
        (["fly"], "No such command 'fly'. (see movierate --help)"),
        (["--fly"], "No such option: --fly (see movierate --help)"),
    ]


def test_bad_input_ends_with_one_line_and_status_2_and_leaves_nothing(
    movierate: Movierate, home: Path, tmp_path: Path
) -> None:
    write(tmp_path / "stuff" / "thesis.txt", ["years of work"])
    write(tmp_path / "bad.csv", ["user,movie", "1,2"])
    write(tmp_path / "_hidden.csv", ["user_id,movie_id", "1,2"])
    (tmp_path / "zero.csv").write_bytes(b"")
    write(tmp_path / "genres.toml", ["[recommend]", 'genres = ["Comedy", "Sci-fi"]'])
    ml_1m(tmp_path / "bad", [(1, 1, 9, START)])
    before = listing(tmp_path)
    for arguments, message in bad_commands(home, tmp_path):
        assert message in one_line(movierate(*arguments)), arguments
        assert listing(tmp_path) == before, arguments


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("prepare", "--input", "none", "--lake", "new"), "none does not exist"),
        (("explore", "--lake", "none", "--out", "new"), "none: no lake there"),
        (("train", "--lake", "none", "--model", "new"), "none: no lake there"),
        (("evaluate", "--lake", "LAKE", "--model", "none", "--since", T, "--out", "new"), "no bundle there"),
        (("recommend", "--lake", "LAKE", "--model", "none", "--out", "new", "--top", 1), "no bundle there"),
        (("audience", "--lake", "none", "--model", "none", "--movie", 1), "none: no lake there"),
        (
            ("score", "--lake", "LAKE", "--model", "MODEL", "--requests", "none.csv", "--scores", "new",
             "--run-date", "2000-12-31"),
            "none.csv: no such file",
        ),
    ],
)  # fmt: skip
def test_a_mistake_in_a_path_is_said_before_spark_starts(
    movierate: Movierate,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[object, ...],
    message: str,
) -> None:
    monkeypatch.setattr(session, "build_session", lambda *_: pytest.fail("Spark was started"))
    places = {"LAKE": home / "lake", "MODEL": home / "model"}
    assert message in one_line(movierate(*(places.get(str(part), part) for part in command)))


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("prepare", "--input", "none", "--lake", "new"), "prepare: --input none does not exist: "),
        (("train", "--lake", "none", "--model", "new"), "train: --lake none: no lake there "),
        (("explore", "--lake", "none", "--out", "new", "--config", "none"), "explore: --config none: no"),
        (("train", "--lake", "none", "--model", "new", "--until", "x"), "train: --until x: give epoch"),
        (("simulate", "--out", "new", "--ratings", 2000, "--re-ratings", 2), "simulate: --re-ratings 2.0 is"),
    ],
)  # fmt: skip
def test_a_line_names_the_command_and_the_option(
    movierate: Movierate, command: tuple[object, ...], message: str
) -> None:
    assert one_line(movierate(*command)).startswith(f"movierate {message}")


def test_ratings_of_one_class_cannot_train(movierate: Movierate, tmp_path: Path) -> None:
    rows = [(u, m, 2, START + u * DAY + m) for u in range(1, 6) for m in range(1, 6)]
    movierate("prepare", "--input", ml_1m(tmp_path / "input", rows), "--lake", tmp_path / "lake")
    outcome = movierate("train", "--lake", tmp_path / "lake", "--model", tmp_path / "model")
    assert "0 of 25 ratings reach label.min_rating 4" in one_line(outcome)
    assert not (tmp_path / "model").exists()


def test_a_sample_without_any_user_cannot_train(movierate: Movierate, home: Path, tmp_path: Path) -> None:
    (tmp_path / "none.toml").write_text("[train]\nmax_rows = 1\n[features]\ncollaborative = false\n")
    settings = ("--config", tmp_path / "none.toml")
    outcome = movierate("train", "--lake", home / "lake", "--model", tmp_path / "model", *settings)
    assert (
        "the sample of users has no training rows of part 0 of the folds: raise train.max_rows"
        in one_line(outcome)
    )
    assert not (tmp_path / "model" / "bundle.json").exists()
