"""Quality: one arrival day of a table -> small frames, results of checks, and their history."""
