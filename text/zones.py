"""Zones: the name of a time zone, behind a time or in a setting -> the offset from UTC, if it is known.

A name gives an offset only if it has one meaning. Several countries use names such as `CST` and `IST`. Such a name has
the meaning that it has in the zone of the machine that wrote the text. Without this zone the offset is unknown.
"""

from __future__ import annotations

import datetime as dt
import functools
import zoneinfo

from text.levels import is_level

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
UTC = ""  # the zone of a time that is already UTC
QUARTER_NS, _NEAR_NS, _WIDEST = 15 * MINUTE_NS, 5 * MINUTE_NS, 56  # quarter hours east or west: 14 hours

Found = tuple[int, int, str | None]

# Source: the IANA time zone database: abbreviations that have had one offset since 2015, in hours east of UTC. PST and
# CDT are those of North America, BST is that of Britain.
_TABLE = """
UTC=0 GMT=0 UCT=0 WET=0 WEST=1 CET=1 CEST=2 EET=2 EEST=3 BST=1 MSK=3 WAT=1 CAT=2 SAST=2 EAT=3 PKT=5 WIB=7 ICT=7 WITA=8
WIT=9 HKT=8 SGT=8 PHT=8 JST=9 KST=9 AWST=8 ACST=9.5 ACDT=10.5 AEST=10 AEDT=11 NZST=12 NZDT=13 NST=-3.5 NDT=-2.5 BRT=-3
ART=-3 CLT=-4 CLST=-3 EST=-5 EDT=-4 CDT=-5 MST=-7 MDT=-6 PST=-8 PDT=-7 AKST=-9 AKDT=-8 HST=-10 HDT=-9
"""
KNOWN: dict[str, float] = {name: float(hours) for name, _, hours in (pair.partition("=") for pair in _TABLE.split())}
AMBIGUOUS = frozenset(("CST", "IST", "AST", "ADT", "GST", "SST", "IDT", "ECT", "AMT", "WST"))
_REGIONS = ("Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific")
_HEADS = frozenset(f" {name[:3]}" for name in (*KNOWN, *AMBIGUOUS, *_REGIONS, "Etc/"))
_OF_REGIONS = frozenset(name[:3] for name in (*_REGIONS, "Etc/"))
_LONGEST = 40


def after(line: str, start: int) -> Found:
    """Read the zone behind a time that ends at `start`: (nanoseconds east of UTC, end, zone).

    For `Z`, an offset or a known name, zone is `UTC`, and the time minus the nanoseconds is UTC. For a name without a
    sure offset the result is (0, end, name). Without a zone it is (0, start, None).
    """
    sign = line[start : start + 1]
    if sign in ("Z", "z"):
        return 0, start + 1, UTC
    if sign == " ":
        if line[start : start + 4] in _HEADS:
            return _name(line, start + 1) or (0, start, None)
        if line[start + 1 : start + 2] in ("+", "-"):
            return _offset(line, start + 1) or (0, start, None)
        opening = line.find(" [", start + 4, start + 8)
        return (0, start, None) if opening < 0 else _of_postgres(line, start, opening)
    return (_offset(line, start) if sign in ("+", "-") else None) or (0, start, None)


def _offset(line: str, start: int) -> Found | None:
    """Read an offset: `+hh:mm`, `+hhmm` or `+hh`; None if no offset stands at `start`."""
    hours, rest = line[start + 1 : start + 3], line[start + 3 : start + 6]
    if len(hours) != 2 or not hours.isdecimal() or int(hours) > 23:
        return None
    minutes, end = (rest[1:], start + 6) if rest[:1] == ":" else (rest[:2], start + 5)
    if len(minutes) != 2 or not minutes.isdecimal() or int(minutes) > 59:
        if rest[:1].isalnum() or rest[:1] in (".", ",", ":", "-"):
            return None
        minutes, end = "0", start + 3
    away = (int(hours) * 60 + int(minutes)) * MINUTE_NS
    return (away if line[start] == "+" else -away), end, UTC


def _name(line: str, start: int) -> Found | None:
    """Read a zone's name: `CET`, `GMT+01:00`, `Europe/Berlin`; None if the word is no zone."""
    end = start + 1
    limit = min(start + _LONGEST, len(line))
    while end < limit and (line[end].isalnum() or line[end] in "/_"):
        end += 1
    name = line[start:end]
    if line[start : start + 3] in _OF_REGIONS:
        return (0, end, name) if zone_named(name) is not None else None
    if name in KNOWN:
        away = int(KNOWN[name] * 60) * MINUTE_NS
        if name in ("UTC", "GMT") and line[end : end + 1] in ("+", "-"):
            return _offset(line, end) or _short_offset(line, end)
        return away, end, UTC
    return (0, end, name) if name in AMBIGUOUS else None


def _short_offset(line: str, start: int) -> Found | None:
    """Read an offset of one digit, such as `+1` in `UTC+1`; None if there is none."""
    if not line[start + 1 : start + 2].isdecimal() or line[start + 2 : start + 3].isalnum():
        return None
    away = int(line[start + 1]) * 60 * MINUTE_NS
    return (away if line[start] == "+" else -away), start + 2, UTC


def _of_postgres(line: str, start: int, opening: int) -> Found:
    """Read a zone that our tables do not have from a line of PostgreSQL: `XYZ` in `XYZ [77] ERROR:`."""
    name, closing = line[start + 1 : opening], line.find("] ", opening + 3, opening + 12)
    if closing < 0 or not (name.isalpha() and name.isupper() and line[opening + 2 : closing].isdecimal()):
        return 0, start, None
    colon = line.find(":", closing, closing + 14)
    if colon < 0 or not line[closing + 2 : colon].isupper() or is_level(name):
        return 0, start, None
    return 0, opening, name


@functools.lru_cache(maxsize=1024)
def zone_named(name: str) -> dt.tzinfo | None:
    """The zone of an IANA name or of an offset (`+05:30`, `-0500`, `Z`); None if `name` is neither."""
    if name in ("Z", "UTC", "GMT", "Etc/UTC"):
        return dt.UTC
    if name[:1] in ("+", "-"):
        found = _offset(name, 0)
        return dt.timezone(dt.timedelta(seconds=found[0] // SECOND_NS)) if found and found[1] == len(name) else None
    if not name or len(name) > 64 or not name.isascii() or not name[0].isalpha() or ".." in name:
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return None


_OFFSETS: dict[tuple[str, int], tuple[int, int]] = {}
_CACHE_SIZE = 8192


def to_utc(local_ns: int, zone: str, near_ns: int) -> int | None:
    """The instant (Unix nanoseconds, UTC) at which a clock in `zone` shows `local_ns`; None if the zone is unknown.

    `local_ns` is the clock's time, counted as if it were UTC. The change to winter time repeats an hour: of its two
    instants, the one nearest to `near_ns` is taken. The change to summer time skips an hour: a time in it is read with
    the offset from before the change.
    """
    minute = local_ns // MINUTE_NS
    offsets = _OFFSETS.get((zone, minute))
    if offsets is None:
        known = _offsets(zone, minute)
        if known is None:
            return None
        if len(_OFFSETS) >= _CACHE_SIZE:
            _OFFSETS.clear()
        _OFFSETS[zone, minute] = offsets = known
    first, second = offsets
    if first <= second:  # the clock shows this minute once, or skips it
        return local_ns - first
    return min(local_ns - first, local_ns - second, key=lambda at: abs(at - near_ns))


def _offsets(zone: str, minute: int) -> tuple[int, int] | None:
    """Nanoseconds east of UTC before and after a clock change in this minute; two equal numbers without a change."""
    info = zone_named(zone)
    if info is None:
        return None
    try:
        local = dt.datetime(1970, 1, 1, tzinfo=info) + dt.timedelta(minutes=minute)
        either = (local.utcoffset(), local.replace(fold=1).utcoffset())
    except OverflowError:
        return 0, 0
    first, second = (int((offset or dt.timedelta()).total_seconds()) * SECOND_NS for offset in either)
    return first, second


def called_by(name: str, zone: str, local_ns: int) -> bool:
    """True if `name` is the abbreviation of `zone` at the local time `local_ns` (such as `CEST` in summer)."""
    info = zone_named(zone)
    if info is None:
        return False
    try:
        local = dt.datetime(1970, 1, 1, tzinfo=info) + dt.timedelta(minutes=local_ns // MINUTE_NS)
        return name in (local.tzname(), local.replace(fold=1).tzname())
    except OverflowError:
        return False


def nearest(local_ns: int, instant_ns: int) -> int | None:
    """The offset, in quarter hours east of UTC, that puts `local_ns` within 5 minutes of `instant_ns`.

    None if no offset of up to 14 hours does.
    """
    quarters = (local_ns - instant_ns + QUARTER_NS // 2) // QUARTER_NS
    near = abs(local_ns - quarters * QUARTER_NS - instant_ns) <= _NEAR_NS
    return quarters if near and -_WIDEST <= quarters <= _WIDEST else None
