"""Inputs: deliveries of ratings, users and movies in four formats, and requests to score."""
