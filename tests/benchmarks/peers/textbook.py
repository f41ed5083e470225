"""The model as PySpark notebooks usually build it: textbook.py FOLDER_OF_ML_1M_FILES OUT.

Demographics, genres and calendar, a random split, and every stage inside the CrossValidator.
"""

import sys

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

folder, out = sys.argv[1:]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "8g")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
read = spark.read.option("sep", "::").option("encoding", "ISO-8859-1")
ratings = read.schema("user_id int, movie_id int, rating int, second long").csv(f"{folder}/ratings.dat")
users = read.schema("user_id int, gender string, age int, occupation int, zip string").csv(
    f"{folder}/users.dat"
)
movies = read.schema("movie_id int, title string, genres string").csv(f"{folder}/movies.dat")
rows = ratings.join(users, "user_id").join(movies, "movie_id")
rows = rows.withColumn("label", (F.col("rating") >= 4).cast("double"))
at = F.timestamp_seconds("second")
rows = rows.withColumns({"hour": F.hour(at), "weekday": F.dayofweek(at), "month": F.month(at)})
names = sorted(
    row[0] for row in movies.select(F.explode(F.split("genres", r"\|"))).distinct().collect() if row[0]
)
flags = {f"genre {name}": F.array_contains(F.split("genres", r"\|"), name).cast("double") for name in names}
rows = rows.withColumns(flags)
train, test = rows.randomSplit([0.8, 0.2], seed=42)
categories = ["gender", "age", "occupation", "zip", "hour", "weekday", "month"]
indices, vectors = ([f"{name} {kind}" for name in categories] for kind in ("index", "vector"))
regression = LogisticRegression(maxIter=50)
pipeline = Pipeline(
    stages=[
        StringIndexer(inputCols=categories, outputCols=indices, handleInvalid="keep"),
        OneHotEncoder(inputCols=indices, outputCols=vectors),
        VectorAssembler(inputCols=[*vectors, *flags], outputCol="features"),
        regression,
    ]
)
grid = (
    ParamGridBuilder()
    .addGrid(regression.regParam, [0.0001, 0.001, 0.01])
    .addGrid(regression.elasticNetParam, [0.0, 0.5])
    .build()
)
auc = BinaryClassificationEvaluator()
fitted = CrossValidator(estimator=pipeline, estimatorParamMaps=grid, evaluator=auc, numFolds=3, seed=7).fit(
    train
)
predicted = fitted.transform(test)
print("auc", auc.evaluate(predicted))
for metric in ("accuracy", "f1", "weightedPrecision", "weightedRecall"):
    print(metric, MulticlassClassificationEvaluator(metricName=metric).evaluate(predicted))
fitted.bestModel.write().overwrite().save(f"{out}/model")
predicted.select("user_id", "movie_id", "probability", "prediction").write.mode("overwrite").parquet(
    f"{out}/scores"
)
