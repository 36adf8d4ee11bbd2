"""Policy: `retention.toml` -> how long which records stay in which tier."""
