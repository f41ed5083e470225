"""One fit and the grid of the default settings with this package: our_fits.py VECTORS."""

import json
import sys
import time

from movierate_spark import local_session
from movierate_spark.config import load_settings
from movierate_spark.model.cross_validation import cross_validate
from movierate_spark.model.logistic_regression import laid_out, logistic_regression

PENALTY = 0.001
spark = local_session()
train = load_settings().train
vectors = spark.read.parquet(sys.argv[1])
rows = vectors.count()
vectors = laid_out(vectors, partitions=train.partitions, expected=rows).persist()
vectors.count()
began = time.perf_counter()
model = logistic_regression(train, regParam=PENALTY).fit(vectors)
fitted = time.perf_counter()
selected = cross_validate(vectors, train, expected=rows)
chosen = time.perf_counter()
figures = {
    "fit, s": fitted - began,
    "objective": model.summary.objectiveHistory[-1],
    "grid, s": chosen - fitted,
    "penalty": selected.params["regParam"],
}
print(json.dumps(figures))
