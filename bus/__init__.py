"""Data in motion: a URL -> the adapter of the port `contracts.bus.Bus`."""

from __future__ import annotations

from contracts.bus import Bus
from contracts.errors import ConfigError
from contracts.settings import Settings


def open_bus(url: str, settings: Settings) -> Bus:
    """Open the bus of `url`: `sqlite:///` and a path (absolute paths have a fourth slash), or `kafka://` and hosts.

    SQLite: creates a missing file and its folder. Kafka: connects in the background, so this call succeeds without a
    broker, and calls of the bus raise `BusError` until a broker answers.

    Raises:
        ConfigError: The URL or a setting cannot work, or the file is not a bus of this version.
        BusError: The file cannot be used now.
    """
    scheme, _, path = url.partition("://")
    if scheme == "sqlite" and path.startswith("/") and len(path) > 1:
        from bus.sqlite.bus import SqliteBus

        return SqliteBus(path[1:], settings)
    if scheme == "kafka" and path:
        from bus.kafka.bus import KafkaBus

        return KafkaBus(url, settings)
    hint = "use sqlite:///path/to/bus.db or kafka://host:9092 in HEADWATER_BUS_URL"
    raise ConfigError(f'bus URL "{url}" is not valid', hint=hint)
