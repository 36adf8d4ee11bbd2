"""Schedules: the clock, and what is due -> runs of jobs."""
