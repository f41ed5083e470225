"""Simulated ratings of any size, with a known truth."""
