"""Flows: bus -> hot store and lake, as Bytewax graphs and the pure functions they call."""
