"""The way in: `POST /logs`, `/metrics`, `/events` -> bus messages. 202 means durable."""
