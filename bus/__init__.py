"""Data in motion: a URL -> the adapter of the port `contracts.bus.Bus`."""

from __future__ import annotations

from contracts.bus import Bus
from contracts.errors import ConfigError
from contracts.settings import Settings


def open_bus(url: str, settings: Settings) -> Bus:
    """Open the bus that `url` names; `sqlite:///` is followed by a path (absolute paths have a fourth slash).

    Creates the file and its folder when they are missing.

    Raises:
        ConfigError: The URL is not understood, or the file is not a bus of this version.
        BusError: The file cannot be used now.
    """
    scheme, _, path = url.partition(":///")
    if scheme == "sqlite" and path:
        from bus.sqlite import SqliteBus

        return SqliteBus(path, settings)
    raise ConfigError(f'bus URL "{url}" is not understood', hint="use sqlite:///path/to/bus.db in HEADWATER_BUS_URL")
