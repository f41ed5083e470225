"""How likely a user is to like a movie: PySpark jobs from three rating files to honest scores."""
