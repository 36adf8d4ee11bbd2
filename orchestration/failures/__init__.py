"""Failures: runs, ticks and losses of the bus -> alerts: a count, an event and a webhook."""
