"""Evaluation: metrics of a model, and their uncertainty."""
