"""Common parts of both HTTP services: keys, problems, health, metrics, JSON logs, request bodies, the server."""
