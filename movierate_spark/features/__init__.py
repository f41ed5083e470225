"""Features of a (user, movie, time), from ratings of strictly earlier seconds."""
