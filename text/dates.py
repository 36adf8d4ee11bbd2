"""Dates with a month's name, with the day first, or without separators: the start of a log line -> a `Time`.

`Time` is explained in `text.times`. The readers of `text.times` are faster and are tried first. An expression of this
module matches at one place only and has no repetition inside a repetition, so its cost does not grow with the line.
"""

from __future__ import annotations

import re

from text import times, zones
from text.times import DAY_NS, MONTHS, Reader, Time, nearest_year, second_ns, short_year
from text.zones import UTC

_CLOCK = (
    r"(?P<h>\d{1,2}):(?P<m>\d\d):(?P<s>\d\d)(?:[.,:](?P<f>\d{1,9}))?(?:[ \u202f\u00a0]?(?P<half>[AaPp])\.?[Mm]\b\.?)?"
)
_BEFORE_CLOCK = r"(?:, | at |::|[ :,T_-])"
_NAME = r"(?P<M>[A-Z][a-z]{2})[a-z]{0,6}\.?"
_WEEKDAY = r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? )"


def _pattern(date: str, clock: str = _CLOCK) -> re.Pattern[str]:
    return re.compile(date + clock, re.ASCII)


_DAY_FIRST = _pattern(rf"{_WEEKDAY}?(?P<d>\d{{1,2}})[ /-]{_NAME}(?:[ /-](?P<y>\d{{4}}|\d\d))?{_BEFORE_CLOCK}")
_MONTH_FIRST = _pattern(rf"{_WEEKDAY}?{_NAME} {{1,2}}(?P<d>\d{{1,2}}),? (?P<y>\d{{4}}){_BEFORE_CLOCK}")
_YEAR_FIRST = _pattern(rf"(?P<y>\d{{4}})[ -]{_NAME}[ -]{{1,2}}(?P<d>\d{{1,2}}){_BEFORE_CLOCK}")
_SLASHED = _pattern(r"(?P<M>\d{1,2})(?:/|-)(?P<d>\d{1,2})(?:/|-)(?P<y>\d{4}|\d\d)(?:, | -- | |T)")
_DOTTED = _pattern(r"(?P<d>\d{1,2})\.(?P<M>\d{1,2})\.(?P<y>\d{4}),? ")
_DOTTED_YEAR = _pattern(r"(?P<y>\d{4})\.(?P<M>\d\d)\.(?P<d>\d\d)[ T-]")
_DASHED = _pattern(
    r"(?P<y>\d{4})-(?P<M>\d\d)-(?P<d>\d\d)(?:[_:,/-]|, |  |\]\[)",
    r"(?P<h>\d\d)[.:](?P<m>\d\d)[.:](?P<s>\d\d)(?:[.,](?P<f>\d{1,9}))?",
)
_COMPACT = _pattern(
    r"(?P<y>20\d\d|19\d\d)(?P<M>[01]\d)(?P<d>[0-3]\d)[T :_-]?",
    r"(?P<h>[0-2]\d):?(?P<m>[0-5]\d):?(?P<s>[0-6]\d)(?:[.,:](?P<f>\d{1,9}))?(?!\d)",
)
_SHORT = _pattern(r"(?P<y>\d\d)(?P<M>[01]\d)(?P<d>[0-3]\d) {1,2}")
_UNIX = _pattern(
    rf"{_WEEKDAY}{_NAME} {{1,2}}(?P<d>\d{{1,2}}) ",
    rf"{_CLOCK}(?: (?P<zone>[A-Z]{{3,5}}|[+-]\d{{4}}))? (?P<y>\d{{4}})\b",
)
# A second zone behind a time: Go (`+0000 UTC m=+0.01`), Java (`[Europe/Berlin]`), JavaScript (`(Coordinated …)`).
_AGAIN = re.compile(
    r"(?: (?:[A-Z]{2,5}|[+-]\d\d(?:\d\d)?))?(?: m=[+-][\d.]{1,24})?\Z|\[(?P<region>[A-Za-z_+/0-9-]{1,40})\]\Z"
    r"| \([^()]{1,48}\)\Z"
)
_NEAR_NS = 2 * DAY_NS
_LONGEST_CHARS = 80  # the longest text that `whole` reads as a time


def of_letter(line: str, start: int, arrival_ns: int) -> Time | None:
    """Read a date that begins with a name: a weekday or a month.

    Examples: `Mon, 30 Nov 2026 19:40:07 GMT`, `Mon Nov 30 19:40:07 UTC 2026`, `Nov 30, 2026 7:40:07 PM`.
    """
    if line[start : start + 3] in MONTHS:
        return _read(_MONTH_FIRST, line, start, arrival_ns)
    for pattern in (_DAY_FIRST, _UNIX, _MONTH_FIRST):
        found = _read(pattern, line, start, arrival_ns)
        if found is not None:
            return found
    return None


def of_digit(line: str, start: int, arrival_ns: int) -> Time | None:
    """Read a date that begins with a digit.

    Examples: `30-Nov-2026 19:40:07.123`, `11/30/2026, 07:40:07 PM`, `30.11.2026 19:40:07`, `20261130T194007Z`.
    """
    third, fifth = line[start + 1 : start + 3], line[start + 4 : start + 5]
    if "/" in third or "-" in third or " " in third:
        return _read(_DAY_FIRST, line, start, arrival_ns) or _slashed(line, start, arrival_ns)
    if "." in third:
        return _read(_DOTTED, line, start, arrival_ns)
    if fifth == "-":
        return _read(_DASHED, line, start, arrival_ns) or _read(_YEAR_FIRST, line, start, arrival_ns)
    if fifth == ".":
        return _read(_DOTTED_YEAR, line, start, arrival_ns)
    if fifth == " ":
        return _read(_YEAR_FIRST, line, start, arrival_ns)
    if line[start + 6 : start + 7] == " ":
        return _read(_SHORT, line, start, arrival_ns)
    return _read(_COMPACT, line, start, arrival_ns)


def of_any(line: str, start: int, arrival_ns: int) -> Time | None:
    first = line[start : start + 1]
    if first.isdecimal():
        return of_digit(line, start, arrival_ns)
    return of_letter(line, start, arrival_ns) if first.isupper() else None


def _read(pattern: re.Pattern[str], line: str, start: int, arrival_ns: int) -> Time | None:
    found = pattern.match(line, start, start + 64)
    if found is None:
        return None
    part = found.groupdict()
    month = MONTHS.get(part["M"]) or (int(part["M"]) if part["M"].isdecimal() else 0)
    clock = _clock(part)
    if clock is None or not month:
        return None
    year, rest = part["y"], f"{month:02}-{int(part['d']):02} {clock}"
    second = (
        nearest_year(rest, arrival_ns)
        if year is None
        else second_ns(f"{year if len(year) == 4 else '20' + year}-{rest}")
    )
    return None if second is None else _with_zone(second + _fraction_ns(part["f"]), part.get("zone"), line, found.end())


def _clock(part: dict[str, str]) -> str | None:
    hour, half = int(part["h"]), part.get("half")
    if half is not None:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half in "Pp" else 0)
    return f"{hour:02}:{part['m']}:{part['s']}"


def _fraction_ns(digits: str | None) -> int:
    return int(digits.ljust(9, "0")) if digits else 0


def _with_zone(time_ns: int, zone: str | None, line: str, end: int) -> Time:
    if zone is None:
        away, end, name = zones.after(line, end)
        return time_ns - away, end, name
    away, read, name = zones.after(f" {zone}", 0)
    return (time_ns - away, end, name) if read > 0 else (time_ns, end, zone)


def _slashed(line: str, start: int, arrival_ns: int) -> Time | None:
    """Read a date with slashes: the month first, as in America, or the day first.

    If both orders are possible, the order that puts the time within two days of arrival is taken, else the month first.
    `text.times` reads dates with the year first (`26/11/30`), so these give None here.
    """
    if short_year(line, start, arrival_ns) is not None:
        return None
    american = _read(_SLASHED, line, start, arrival_ns)
    found = _SLASHED.match(line, start, start + 64)
    if found is None or found["half"] is not None:
        return american
    first, second = found.span("M"), found.span("d")
    swapped = (
        line[start : first[0]] + found["d"] + line[first[1] : second[0]] + found["M"] + line[second[1] : start + 96]
    )
    european = _read(_SLASHED, swapped, 0, arrival_ns)
    if european is None or (american is not None and abs(european[0] - arrival_ns) > _NEAR_NS):
        return american
    if american is not None and abs(american[0] - arrival_ns) <= abs(european[0] - arrival_ns):
        return american
    return european[0], european[1] + start, european[2]


# The readers for a text that is only a time, in the order in which `whole` tries them.
WHOLE: tuple[Reader, ...] = (
    times.iso,
    times.minutes,
    times.epoch,
    times.common_log,
    times.ctime,
    times.syslog,
    times.short_year,
    of_any,
)


def whole(text: str, arrival_ns: int) -> Time | None:
    """The time of a text that is only a time; None if it holds more. Blanks around the time are ignored."""
    text = text.strip()
    if not 8 <= len(text) <= _LONGEST_CHARS:
        return None
    for reader in WHOLE:
        found = reader(text, 0, arrival_ns)
        if found is not None and found[1] == len(text):
            return found
        if found is not None and (rest := _AGAIN.match(text, found[1])) is not None:
            return _named_again(found, rest)
    return None


def _named_again(found: Time, rest: re.Match[str]) -> Time | None:
    """Use the second zone behind a time: a time with an offset keeps it, a time without one takes the region."""
    time_ns, _, zone = found
    if zone != UTC:
        if rest["region"] is None or zones.zone_named(rest["region"]) is None:
            return None
        zone = rest["region"]
    return time_ns, rest.end(), zone
