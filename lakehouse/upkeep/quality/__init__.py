"""Quality: one arrival day of a table -> small frames for checks, results of checks, and their history."""
