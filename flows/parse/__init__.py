"""Parse: payload bytes of a message -> rows of one kind, and rejects for the dead letters."""
