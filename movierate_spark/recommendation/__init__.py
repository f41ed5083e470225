"""Recommendation: the best movies for a user, and the users who like a movie best."""
