"""The vectors that a model was fitted on, with the parts of its folds: our_vectors.py LAKE MODEL OUT."""

import sys

from pyspark.sql import functions as F

from movierate_spark import load_bundle, local_session, open_lake
from movierate_spark.columns import LABEL
from movierate_spark.config import load_settings
from movierate_spark.features.names import FEATURES
from movierate_spark.model.cross_validation import FOLD_PART
from movierate_spark.model.scoring import rows_for
from movierate_spark.model.time_split import split_by_time

lake, model, out = sys.argv[1:]
spark = local_session()
bundle, train = load_bundle(model), load_settings().train
rows = rows_for(bundle, open_lake(spark, lake)).persist()
split = split_by_time(
    rows, tune_fraction=train.tune_fraction, test_fraction=train.test_fraction, folds=train.folds
)
second = F.unix_seconds("at")
past = bundle.transform(rows.where(second < split.tune))
part = split.fold_part(second).alias(FOLD_PART)
past.select("user_id", "movie_id", "at", FEATURES, LABEL, part).write.parquet(out)
