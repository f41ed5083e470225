"""Features of a (user, movie, time): what was known strictly before that second."""
