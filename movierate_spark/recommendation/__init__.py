"""Which movies are the best for a user, and which users like a movie best."""
