"""Zone: this machine -> the name of its time zone, in which log lines without a zone were written."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from zoneinfo import ZoneInfo

from contracts.errors import ConfigError

_OFFSET = re.compile(r"[+-](?:0\d|1[0-4]):?[0-5]\d\Z")
_LOCAL, _NAMED = Path("/etc/localtime"), Path("/etc/timezone")


def checked_zone(zone: str) -> str:
    """`zone`, an IANA name or an offset such as "+05:30", as it is sent.

    Raises:
        ConfigError: There is no such zone.
    """
    if _OFFSET.match(zone):
        return f"{zone[:3]}:{zone[-2:]}"
    if not _is_known(zone):
        raise ConfigError(
            f'time zone "{zone[:64]}" is not known',
            hint="pass an IANA name such as America/New_York, or an offset such as +05:30",
        )
    return zone


def local_zone(local: Path = _LOCAL, named: Path = _NAMED) -> str:
    """The IANA name of the zone of this process: from TZ, else from the system; its offset now if it has no name."""
    given = os.environ.get("TZ", "").removeprefix(":")
    for zone in (given, _linked(local), _written(named) if local.exists() else ""):
        zone = _below_zoneinfo(zone)
        if _is_known(zone):
            return zone
        if zone:
            break
    offset_min = time.localtime().tm_gmtoff // 60
    sign = "-" if offset_min < 0 else "+"
    return "UTC" if not offset_min else f"{sign}{abs(offset_min) // 60:02}:{abs(offset_min) % 60:02}"


def _linked(local: Path) -> str:
    try:
        return str(local.resolve()) if local.is_symlink() else ""
    except (OSError, RuntimeError):
        return ""


def _written(named: Path) -> str:
    try:
        return named.read_text().strip()
    except (OSError, ValueError):
        return ""


def _below_zoneinfo(path: str) -> str:
    return path.rpartition("zoneinfo/")[2]


def _is_known(zone: str) -> bool:
    """True for the name of a zone of the IANA data; paths and odd names are none."""
    if not zone or zone != zone.strip() or zone.startswith("/"):
        return False
    try:
        return ZoneInfo(zone).key == zone
    except (ValueError, OSError, KeyError):
        return False
