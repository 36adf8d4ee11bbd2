"""Process: settings -> Dagster's daemon, code server and UI as one process."""
