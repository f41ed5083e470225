"""Schema, grain and key of every table.

| table           | a row is                         | key                         |
| --------------- | -------------------------------- | --------------------------- |
| ratings         | a user's rating of a movie       | user_id, movie_id, rated_at |
| users           | a user                           | user_id                     |
| movies          | a movie                          | movie_id                    |
| rejected        | an input row that broke a rule   | none                        |
| history         | an event before the state's end  | none                        |
| movie_totals    | an amount for a movie and group  | none: a key's rows add up   |
| daily_totals    | an amount for a day              | none: a key's rows add up   |
| scores          | a readable request of a run date | none: requests may repeat   |
| predictions     | an evaluated rating              | user_id, movie_id, at       |
| recommendations | a movie recommended to a user    | user_id, rank               |

The state of a lake is ``history``, ``movie_totals`` and ``daily_totals``
(:mod:`movierate_spark.features.state`), with the events and sums of :mod:`movierate_spark.features.events`.

Times are UTC. Null means unknown; an unknown genre is an empty array. A user's later rating of a movie, a
*re-rating*, stays beside the earlier one.
"""

from __future__ import annotations

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)


def _struct(**columns: DataType) -> StructType:
    return StructType([StructField(name, data_type) for name, data_type in columns.items()])


RATINGS = _struct(user_id=LongType(), movie_id=LongType(), rating=DoubleType(), rated_at=TimestampType())
USERS = _struct(
    user_id=LongType(),
    gender=StringType(),
    age_group=StringType(),
    occupation=StringType(),
    zip3=StringType(),
)
MOVIES = _struct(movie_id=LongType(), title=StringType(), year=IntegerType(), genres=ArrayType(StringType()))
REJECTED = _struct(table=StringType(), rule=StringType(), raw=StringType(), source_file=StringType())
HISTORY = _struct(
    user_id=LongType(),
    movie_id=LongType(),
    at=TimestampType(),
    rating=DoubleType(),
    replaced=DoubleType(),
    withdrawn_at=TimestampType(),
    residual=LongType(),
)
MOVIE_TOTALS = _struct(
    movie_id=LongType(),
    gender=StringType(),
    age_group=StringType(),
    occupation=StringType(),
    n=LongType(),
    tenths=LongType(),
    likes=LongType(),
    squares=LongType(),
)
DAILY_TOTALS = _struct(day=DateType(), n=LongType(), tenths=LongType(), likes=LongType())
STATE = {"history": HISTORY, "movie_totals": MOVIE_TOTALS, "daily_totals": DAILY_TOTALS}
LAKE = {"ratings": RATINGS, "users": USERS, "movies": MOVIES, "rejected": REJECTED}
LAKE_AND_STATE = {**LAKE, **STATE}

REASON = _struct(feature=StringType(), contribution=DoubleType())
SCORES = _struct(
    user_id=LongType(),
    movie_id=LongType(),
    at=TimestampType(),
    logit=DoubleType(),
    p_like=DoubleType(),
    predicted_liked=BooleanType(),
    user_known=BooleanType(),
    movie_known=BooleanType(),
    reasons=ArrayType(REASON),
    model_version=StringType(),
    run_date=DateType(),
)
RECOMMENDATIONS = _struct(
    user_id=LongType(),
    rank=IntegerType(),
    movie_id=LongType(),
    title=StringType(),
    logit=DoubleType(),
    p_like=DoubleType(),
    at=TimestampType(),
    model_version=StringType(),
)
REJECTED_REQUESTS = _struct(
    run_date=DateType(), rule=StringType(), raw=StringType(), source_file=StringType()
)
PREDICTIONS = _struct(
    user_id=LongType(),
    movie_id=LongType(),
    at=TimestampType(),
    rating=DoubleType(),
    liked=BooleanType(),
    logit=DoubleType(),
    p_like=DoubleType(),
    predicted_liked=BooleanType(),
    user_known=BooleanType(),
    movie_known=BooleanType(),
    model_version=StringType(),
)
