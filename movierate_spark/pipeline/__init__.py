"""The order of things: each job from its inputs to what it leaves. The only part that knows it."""

from movierate_spark.pipeline.deliveries import Asked, Scored
from movierate_spark.pipeline.evaluation import Measured, evaluate_model
from movierate_spark.pipeline.exploration import explore_lake
from movierate_spark.pipeline.preparation import prepare
from movierate_spark.pipeline.scoring import score_requests
from movierate_spark.pipeline.training import train_model
from movierate_spark.pipeline.vacuuming import vacuum

__all__ = [
    "Asked",
    "Measured",
    "Scored",
    "evaluate_model",
    "explore_lake",
    "prepare",
    "score_requests",
    "train_model",
    "vacuum",
]
