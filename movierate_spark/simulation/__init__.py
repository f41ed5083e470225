"""Ratings of any size, with a known truth."""
