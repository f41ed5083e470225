"""Statistics for the exploration report: counts, rates and differences, aggregated in Spark."""

from movierate_spark.exploration.tables import Exploration, explore

__all__ = ["Exploration", "explore"]
