"""Policy: `retention.toml` -> the age at which records leave each tier."""
