"""Where things lie: tables and their commits, files that are whole or not there, and what may go."""
