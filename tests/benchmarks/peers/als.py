"""Spark's ALS as notebooks use it: als.py fit LAKE MODEL, then als.py recommend MODEL OUT.

It recommends movies that the user has rated, too.
"""

import sys

from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import SparkSession

what, source, out = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "8g")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
if what == "fit":
    ratings = spark.read.option("recursiveFileLookup", True).parquet(f"{source}/ratings")
    als = ALS(seed=1, userCol="user_id", itemCol="movie_id", ratingCol="rating")
    als.fit(ratings).write().overwrite().save(out)
else:
    ALSModel.load(source).recommendForAllUsers(10).write.parquet(out)
