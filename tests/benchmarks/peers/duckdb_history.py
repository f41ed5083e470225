"""As-of history of every rating in DuckDB's SQL, with the columns of movierate_spark.features.history.

Usage: duckdb_history.py LAKE OUT THREADS and four shrinkages: those of users, movies, tastes and groups. LAKE
has Parquet files of ratings, users and movies; no user may have rated a movie twice.
"""

import json
import sys
import time

import duckdb

SHRINKAGE_USER, SHRINKAGE_MOVIE, SHRINKAGE_TASTE, SHRINKAGE_GROUP = (float(x) for x in sys.argv[4:8])
lake, out, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
began = time.perf_counter()
connection = duckdb.connect()
connection.execute(
    f"set threads = {threads}; set memory_limit = '12GB'; set preserve_insertion_order = false"
)
EARLIER = "range between unbounded preceding and 1 preceding"


def totals(name: str, window: str, *columns: str) -> str:
    sums = [f"coalesce(sum({column}) over {window}, 0) as {name}_{column}" for column in columns]
    return ", ".join([f"count(*) over {window} as {name}_n", *sums])


def shrunk(total: str, count: str, prior: str, shrinkage: float) -> str:
    return f"({total} + {shrinkage} * {prior}) / ({count} + {shrinkage})"


def statistics(side: str, shrinkage: float) -> str:
    count, stars = f"{side}_n", f"{side}_stars"
    about_mean = f"({side}_squares - {stars} * {stars} / greatest({count}, 1))"
    return f"""
        {count} as {side}_count,
        {shrunk(stars, count, "prior_mean", shrinkage)} as {side}_mean,
        {shrunk(f"{side}_likes", count, "prior_like_rate", shrinkage)} as {side}_like_rate,
        sqrt(greatest({shrunk(about_mean, count, "1", 10)}, 0)) as {side}_spread"""


def above(total: str, count: str, level: str, shrinkage: float) -> str:
    return f"({total} - {count} * {level}) / ({count} + {shrinkage})"


connection.execute(f"""
create table rated as
with r as (
    select user_id, movie_id, rating as stars, epoch(rated_at)::bigint as t, rated_at::date as day,
        (rating >= 4)::int as likes, rating * rating as squares
    from '{lake}/ratings/**/*.parquet'
), days as (
    select day, count(*) as n, sum(stars) as stars, sum(likes) as likes from r group by day
), priors as (
    select day, coalesce(sum(stars) over w / sum(n) over w, 4.0) as prior_mean,
        coalesce((sum(likes) over w + 1) / (sum(n) over w + 2), 0.5) as prior_like_rate
    from days window w as (order by day rows between unbounded preceding and 1 preceding)
)
select r.*, prior_mean, prior_like_rate, gender, age_group, occupation, genres, year // 10 as decade
from r join priors using (day)
left join '{lake}/users/**/*.parquet' using (user_id)
left join '{lake}/movies/**/*.parquet' using (movie_id)
""")
groups = ("gender", "age_group", "occupation")
connection.execute(f"""
create table with_movie as
with summed as (
    select *, {totals("movie", "m", "stars", "likes", "squares")},
        {", ".join(totals(group, group[0], "stars") for group in groups)}
    from rated
    window m as (partition by movie_id order by t {EARLIER}),
        {
    ", ".join(f"{group[0]} as (partition by movie_id, {group} order by t {EARLIER})" for group in groups)
}
), means as (select *, {statistics("movie", SHRINKAGE_MOVIE)} from summed)
select * exclude (movie_n, movie_stars, movie_likes, movie_squares), stars - movie_mean as residual,
    {
    ", ".join(
        f"case when {group} is null then 0 else "
        f"{above(f'{group}_stars', f'{group}_n', 'movie_mean', SHRINKAGE_GROUP)} end as {group}_movie"
        for group in groups
    )
}
from means
""")
connection.execute("drop table rated")
connection.execute(f"""
create table with_user as
with summed as (
    select *, {totals("user", "u", "stars", "likes", "squares", "residual")},
        {totals("decade", "d", "residual")},
        row_number() over (partition by user_id order by t, movie_id) as place,
        sum(residual) over (partition by user_id order by t, movie_id rows unbounded preceding) as running
    from with_movie
    window u as (partition by user_id order by t {EARLIER}),
        d as (partition by user_id, decade order by t {EARLIER})
)
select *, {statistics("user", SHRINKAGE_USER)}, user_residual / (user_n + {SHRINKAGE_USER}) as level
from summed
""")
connection.execute("drop table with_movie")
connection.execute(f"""
copy (
    with by_genre as (
        select user_id, movie_id, t, residual, level, unnest(genres) as genre from with_user
    ), genre_means as (
        select user_id, movie_id, t,
            {
    above("coalesce(sum(residual) over g, 0)", "(count(*) over g)", "level", SHRINKAGE_TASTE)
} as above
        from by_genre window g as (partition by user_id, genre order by t {EARLIER})
    ), genre as (select user_id, movie_id, t, avg(above) as user_genre from genre_means group by all)
    select w.user_id, w.movie_id, w.t, prior_mean, prior_like_rate, movie_count, movie_mean, movie_like_rate,
        movie_spread, gender_movie, age_group_movie, occupation_movie, user_count, user_mean, user_like_rate,
        user_spread, level as user_residual,
        {
    ", ".join(
        f"(user_residual - coalesce(before_{last}.running, 0)) / (least(user_n, {last}) + {SHRINKAGE_USER})"
        f" as user_recent_{last}"
        for last in (5, 20, 50)
    )
},
        coalesce(user_genre, 0) as user_genre,
        case when decade is null then 0
            else {above("decade_residual", "decade_n", "level", SHRINKAGE_TASTE)} end as user_decade
    from with_user w left join genre using (user_id, movie_id, t)
    {
    " ".join(
        f"left join (select user_id, place, running from with_user) before_{last}"
        f" on before_{last}.user_id = w.user_id and before_{last}.place = w.user_n - {last}"
        for last in (5, 20, 50)
    )
}
) to '{out}' (format parquet)
""")
print(json.dumps({"without the start, s": time.perf_counter() - began}))
