"""Rollups: raw metric points -> windows of a minute and of an hour."""
