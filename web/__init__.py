"""What both HTTP services share: keys, problems, health, Prometheus text, JSON logs, request bodies, the server."""
