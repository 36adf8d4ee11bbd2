"""Clock: a time in a text that names no zone -> UTC, by the zone of the machine that read the text, or by settings."""

from __future__ import annotations

from contracts.errors import ConfigError
from contracts.settings import Settings
from flows.parse.facts import LineFacts
from text import zones

_HINT = "use a name of the IANA time zone database, such as Europe/Berlin, or an offset, such as +05:30"


class Clock:
    """The zones of the settings: one for all, and exceptions by service.

    Attributes:
        zone: That of all services; "" when there are exceptions.
    """

    def __init__(self, settings: Settings) -> None:
        """
        Raises:
            ConfigError: A zone of the settings is not known.
        """
        self._zone = _known("HEADWATER_TIMEZONE", settings.timezone)
        self._services: dict[str | None, str] = {}
        for pair in filter(None, map(str.strip, settings.timezones.split(","))):
            service, equals, zone = pair.rpartition("=")
            if not equals or not service.strip():
                raise ConfigError(
                    f'HEADWATER_TIMEZONES has "{pair}", which names no service', hint="write service=zone"
                )
            self._services[service.strip()] = _known("HEADWATER_TIMEZONES", zone.strip())
        self.zone = "" if self._services else self._zone

    def zone_of(self, service: str | None) -> str:
        """The zone of texts of `service` whose sender names none."""
        return self._services.get(service, self._zone)


def utc_of(found: LineFacts, zone: str, near_ns: int) -> int | None:
    """The time of `found` in UTC; None: it has none, or its zone is not known.

    Args:
        zone: Of a text that names none.
        near_ns: When the text was read: of an hour that winter time doubles, the nearest reading is taken.
    """
    time_ns, named = found.time_ns, found.zone
    if time_ns is None or named == zones.UTC:
        return time_ns
    if named is None:
        return time_ns if zone == "UTC" else zones.to_utc(time_ns, zone, near_ns)
    known = zones.to_utc(time_ns, named, near_ns) if "/" in named else None
    if known is None and zones.called_by(named, zone, time_ns):
        return zones.to_utc(time_ns, zone, near_ns)
    return known


def _known(setting: str, zone: str) -> str:
    if zones.zone_named(zone) is None:
        raise ConfigError(f'{setting} has the time zone "{zone}", which is not known', hint=_HINT)
    return zone
