"""Storage: the lake, Delta tables and their commits, atomic files, vacuum and run records."""
