"""The file layouts and codes of MovieLens 1M and 100K. Later releases of MovieLens are CSV files."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from movierate_spark.columns import AGE_GROUPS, lookup
from movierate_spark.config import InputSettings
from movierate_spark.inputs.lines import COLUMNS, by_position, read_lines, with_columns
from movierate_spark.storage.locations import Location

# MovieLens 1M's codes, from its README.
ML_1M_AGES = {str(first): name for name, first in AGE_GROUPS.items()}
ML_1M_OCCUPATIONS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
GENRE_NAMES = "u.genre"
# The order of the genre flags in u.item, if there is no u.genre.
ML_100K_GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]


def read_ml_1m(spark: SparkSession, table: str, path: Location, _: InputSettings) -> DataFrame:
    """A table in MovieLens 1M's layout: ``::`` between fields. Users' codes are replaced by their names."""
    names = {"movies": ("movie_id", "title", "genres")}.get(table, COLUMNS[table])
    lines = by_position(read_lines(spark, path), table, F.split("raw", "::", -1), names)
    return with_names_of_codes(lines) if table == "users" else lines


def with_names_of_codes(users: DataFrame) -> DataFrame:
    """Replace MovieLens 1M's codes in ``age`` and ``occupation`` by their names; null for unknown codes."""
    occupations = {str(code): name for code, name in enumerate(ML_1M_OCCUPATIONS)}
    return users.withColumns(
        {"age": lookup(F.col("age"), ML_1M_AGES), "occupation": lookup(F.col("occupation"), occupations)}
    )


def read_ml_100k(spark: SparkSession, table: str, path: Location, _: InputSettings) -> DataFrame:
    """A table in MovieLens 100K's layout: tabs or ``|`` between fields, and a flag for each genre."""
    lines = read_lines(spark, path)
    if table == "ratings":
        return by_position(lines, table, F.split("raw", "\t", -1), COLUMNS["ratings"])
    fields = F.split("raw", r"\|", -1)
    if table == "users":
        return by_position(lines, table, fields, ("user_id", "age", "gender", "occupation", "zip"))
    genres = _genre_names(spark, path.parent / GENRE_NAMES)
    return _ml_100k_movies(lines.withColumn("fields", fields), genres)


def _ml_100k_movies(split: DataFrame, genres: list[str]) -> DataFrame:
    """Movies from ``fields``: id, title, release date, video release date, URL, a flag for each genre."""
    flags = [
        F.when(F.trim(F.get("fields", F.lit(5 + i))) == "1", F.lit(name))
        for i, name in enumerate(genres)
        if name != "unknown"
    ]
    columns: dict[str, Column] = {
        "movie_id": F.get("fields", F.lit(0)),
        "title": F.get("fields", F.lit(1)),
        "genres": F.concat_ws("|", *flags),
        "year": F.regexp_extract(F.get("fields", F.lit(2)), r"-(\d{4})\s*\z", 1),
    }
    return with_columns(split, COLUMNS["movies"], columns, complete=F.size("fields") == 5 + len(genres))


def _genre_names(spark: SparkSession, path: Location) -> list[str]:
    """The genres in the order of their flags, from ``u.genre`` (``name|number``) if it exists."""
    if not path.is_file():
        return ML_100K_GENRES
    fields = F.split("raw", r"\|")
    number = F.get(fields, F.lit(1)).try_cast("int")
    rows = read_lines(spark, path).select(number.alias("number"), F.get(fields, F.lit(0)).alias("name"))
    return [row["name"] for row in rows.where("number is not null").sort("number", "name").head(1000)]
