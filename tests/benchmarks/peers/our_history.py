"""As-of history of every rating with this package: our_history.py LAKE OUT [MASTER]."""

import json
import sys
import time

from pyspark.sql import functions as F

from movierate_spark import local_session, open_lake
from movierate_spark.config import load_settings
from movierate_spark.features.rows import feature_rows
from movierate_spark.features.task_history import COLUMNS

lake, out, *masters = sys.argv[1:]
spark = local_session(properties={"spark.master": masters[0]} if masters else {})
began = time.perf_counter()
settings = load_settings()
rows = feature_rows(open_lake(spark, lake), settings.features, min_rating=settings.label.min_rating)
chosen = rows.select("user_id", "movie_id", F.unix_seconds("at").alias("t"), *COLUMNS)
# Nearly all doubles differ: Parquet would begin dictionaries of them, and give them up.
chosen.write.option("parquet.enable.dictionary", "false").parquet(out)
print(json.dumps({"without the start, s": time.perf_counter() - began}))
