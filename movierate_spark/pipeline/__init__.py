"""The order of things: each job from its inputs to what it leaves. The only part that knows it."""

from movierate_spark.pipeline.audience import Film, audience_of
from movierate_spark.pipeline.deliveries import Asked, Scored, check_deliveries
from movierate_spark.pipeline.evaluation import Measured, evaluate_model
from movierate_spark.pipeline.exploration import explore_lake
from movierate_spark.pipeline.preparation import Delivered, prepare
from movierate_spark.pipeline.recommending import recommend_movies
from movierate_spark.pipeline.scoring import score_requests
from movierate_spark.pipeline.training import train_model
from movierate_spark.pipeline.vacuuming import floor_hours, vacuum

__all__ = [
    "Asked",
    "Delivered",
    "Film",
    "Measured",
    "Scored",
    "audience_of",
    "check_deliveries",
    "evaluate_model",
    "explore_lake",
    "floor_hours",
    "prepare",
    "recommend_movies",
    "score_requests",
    "train_model",
    "vacuum",
]
