"""Small deliveries in each layout, made from the same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

GENRES = ("Action", "Comedy", "Drama", "Film-Noir")
START = 956_703_932  # 2000-04-25T23:05:32Z


def tiny_rows(*, users: int = 40, movies: int = 30, seed: int = 7) -> list[tuple[int, int, int, int]]:
    """(user, movie, stars, second): men like action, women drama; several ratings share a second."""
    random = np.random.default_rng(seed)
    rows = []
    for user in range(1, users + 1):
        start = START + int(random.integers(0, 200 * 86_400))
        rated = random.permutation(movies)[: movies * 2 // 3]
        for i, movie in enumerate(rated):
            odds = 0.3 + (1.0 if (user % 2) == (movie % 2) else -1.0) + 0.08 * (movie - movies / 2)
            liked = random.random() < 1 / (1 + np.exp(-odds))
            stars = int(random.integers(4, 6)) if liked else int(random.integers(1, 4))
            rows.append((user, int(movie) + 1, stars, start + (i // 4) * 45))
    return rows


def write(path: Path, lines: list[str], *, encoding: str = "iso-8859-1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\n" for line in lines).encode(encoding))


def title(movie: int) -> str:
    return f"Café, No. {movie} ({1930 + movie * 2})"


def ml_1m(folder: Path, rows: list[tuple[int, int, int, int]] | None = None) -> Path:
    rows = tiny_rows() if rows is None else rows
    users, movies = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    write(folder / "ratings.dat", [f"{u}::{m}::{stars}::{second}" for u, m, stars, second in rows])
    write(
        folder / "users.dat",
        [f"{u}::{'MF'[u % 2]}::{(1, 18, 25, 56)[u % 4]}::{u % 21}::{10000 + u}" for u in users],
    )
    write(folder / "movies.dat", [f"{m}::{title(m)}::{GENRES[m % 4]}|Drama" for m in movies])
    return folder


def ml_100k(folder: Path) -> Path:
    rows = tiny_rows()
    users, movies = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    names = ["unknown", *GENRES, *(f"Genre {i}" for i in range(14))]
    write(folder / "u.data", [f"{u}\t{m}\t{stars}\t{second}" for u, m, stars, second in rows])
    write(folder / "u.user", [f"{u}|{15 + u}|{'MF'[u % 2]}|writer|{10000 + u}" for u in users])
    write(folder / "u.genre", [f"{name}|{i}" for i, name in enumerate(names)] + [""])
    flags = {m: ["1" if name in (GENRES[m % 4], "Drama") else "0" for name in names] for m in movies}
    write(
        folder / "u.item",
        [f"{m}|{title(m)}|01-Jan-{1930 + m * 2}||http://x/{m}|{'|'.join(flags[m])}" for m in movies],
    )
    return folder


def csv_without_users(folder: Path) -> Path:
    rows = tiny_rows()
    movies = sorted({row[1] for row in rows})
    ratings = [f"{u},{m},{stars - 0.5},{second}" for u, m, stars, second in rows]
    write(folder / "ratings.csv", ["userId,movieId,rating,timestamp", *ratings], encoding="utf-8")
    titles = [f'{m},"{title(m)}",{GENRES[m % 4]}|Drama' for m in movies]
    write(folder / "movies.csv", ["movieId,title,genres", *titles], encoding="utf-8")
    return folder
