"""Explore the lake: counts, rates and differences for the report, aggregated in Spark."""

from movierate_spark.exploration.tables import Exploration, explore

__all__ = ["Exploration", "explore"]
