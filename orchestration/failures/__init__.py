"""Failures: failed runs and ticks, losses of the bus -> alerts: a count, an event and a POST to the webhook."""
