"""Reads over HTTP: query text and parameters -> hot store and lake -> JSON answers."""
