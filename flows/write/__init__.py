"""Write: batches -> hot store, lake and dead letters, each with its own checkpoint."""
