"""Reports: self-contained HTML files."""

from movierate_spark.report.evaluation import evaluation_report
from movierate_spark.report.exploration import exploration_report
from movierate_spark.report.page import Report

__all__ = ["Report", "evaluation_report", "exploration_report"]
