"""The jobs: one module each, with the order of its steps from inputs to outputs."""

from movierate_spark.workflows.audience import Film, audience_of
from movierate_spark.workflows.deliveries import RunDateOutcome, ScoringRequest, check_deliveries
from movierate_spark.workflows.evaluate import EvaluationWindow, evaluate_model
from movierate_spark.workflows.explore import explore_lake
from movierate_spark.workflows.prepare import Preparation, prepare_lake
from movierate_spark.workflows.recommend import recommend_movies
from movierate_spark.workflows.score import score_requests
from movierate_spark.workflows.train import train_model
from movierate_spark.workflows.vacuum import floor_hours, vacuum_folder

__all__ = [
    "EvaluationWindow",
    "Film",
    "Preparation",
    "RunDateOutcome",
    "ScoringRequest",
    "audience_of",
    "check_deliveries",
    "evaluate_model",
    "explore_lake",
    "floor_hours",
    "prepare_lake",
    "recommend_movies",
    "score_requests",
    "train_model",
    "vacuum_folder",
]
