"""Schedules: the clock and due days -> runs of jobs."""
