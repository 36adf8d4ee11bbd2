"""Times in text: the start of a log line -> Unix nanoseconds, UTC, and where the time ends.

Every reader takes (line, start, arrival_ns) and returns a `Time` (time_ns, end, zone), or None if no time of its form
stands at `start`. `zone` has three cases:

- `zones.UTC` (""): `time_ns` is UTC.
- None: the text names no zone; `time_ns` is the time on its clock, counted as if it were UTC.
- a name: the zone has no sure offset (`CST`) or changes its clocks (`Europe/Berlin`); `time_ns` is as for None.

A time without a year gets the latest year in which it is at most one day after arrival.
"""

# ruff: noqa: ARG001  every reader takes the same arguments, and some need fewer

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

from text import zones
from text.zones import UTC

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS

Time = tuple[int, int, str | None]
Reader = Callable[[str, int, int], Time | None]

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  text without zone is read as UTC; naive on both sides of the minus
MONTHS = {name: at // 3 + 1 for at in range(0, 36, 3) if (name := "JanFebMarAprMayJunJulAugSepOctNovDec"[at : at + 3])}
_SCALES = {10: SECOND_NS, 13: 1_000_000, 16: 1_000, 19: 1}  # number of digits of a present epoch number -> its unit
_FIRST_S, _LAST_S = 10**9, 4_102_444_800  # range of epoch numbers: September 2001 (10 digits) to the end of 2099
_CACHE: dict[str, int | None] = {}
_MICROS: dict[str, int] = {}
_YEARLESS: dict[tuple[str, int], int | None] = {}
_COMMON: dict[str, int | None] = {}
_CACHE_SIZE = 8192
_HALF_ENDS, _HALVES = ("M", "m"), (" A", " P", " a", " p")


def second_ns(text: str) -> int | None:
    """`YYYY-MM-DD hh:mm:ss` (or with "T", or "/") as nanoseconds; None if it is no time.

    Many lines have the same second, so the results are cached.
    """
    if text in _CACHE:
        return _CACHE[text]
    try:
        since = dt.datetime.fromisoformat(text.replace("/", "-")) - _EPOCH
        second: int | None = (since.days * 86_400 + since.seconds) * SECOND_NS
    except (ValueError, TypeError):
        second = _leap_second_ns(text)
    if len(_CACHE) >= _CACHE_SIZE:
        _CACHE.clear()
    _CACHE[text] = second
    return second


def _leap_second_ns(text: str) -> int | None:
    """Read a leap second: second 60 becomes the first instant of the next minute."""
    before = second_ns(text[:17] + "59") if text[17:] == "60" else None
    return None if before is None else before + SECOND_NS


def _fraction(line: str, start: int) -> tuple[int, int]:
    """Read the digits after a dot or comma at `start`: (nanoseconds, end); (0, start) if there are none."""
    if line[start : start + 1] not in (".", ","):
        return 0, start
    for width in (6, 3, 9):  # the usual ones first
        end = start + 1 + width
        digits = line[start + 1 : end]
        if len(digits) == width and digits.isdecimal() and not line[end : end + 1].isdecimal():
            return int(digits) * 10 ** (9 - width), end
    end = start + 1
    while line[end : end + 1].isdecimal() and end < start + 20:
        end += 1
    digits = line[start + 1 : end]
    return (int(digits[:9].ljust(9, "0")), end) if digits else (0, start)


def micros(line: str, start: int) -> int | None:
    """Read the usual form `2026-01-01T00:00:00.000000Z` as nanoseconds; None for any other form or no time."""
    if line[start + 26 : start + 27] != "Z" or line[start + 19 : start + 20] != ".":
        return None
    text, digits = line[start : start + 19], line[start + 20 : start + 26]
    second = _MICROS.get(text)
    if second is None:
        if text[4] != "-" or text[7] != "-" or text[10] not in "Tt " or text[13] != ":":
            return None
        second = second_ns(text)
        if second is None:
            return None
        if len(_MICROS) >= _CACHE_SIZE:
            _MICROS.clear()
        _MICROS[text] = second
    return second + int(digits) * 1000 if digits.isdecimal() else None


def iso(line: str, start: int, arrival_ns: int) -> Time | None:
    """ISO 8601 and its relatives: `2015-07-29 17:41:44,747`, `2026-01-01T00:00:00.5+02:00`, `2026/01/01 00:00:00`."""
    known = micros(line, start)
    if known is not None:
        return known, start + 27, UTC
    if line[start + 4 : start + 5] not in ("-", "/") or line[start + 13 : start + 14] != ":":
        return None
    if line[start + 10 : start + 11] not in ("T", " ", "t"):
        return None
    second = second_ns(line[start : start + 19])
    if second is None:
        return None
    fraction, end = _fraction(line, start + 19)
    if line[end + 2 : end + 3] in _HALF_ENDS:
        second, end = _of_half(line, start, second, end)
    away, end, zone = zones.after(line, end)
    return second + fraction - away, end, zone


def _of_half(line: str, start: int, second: int, end: int) -> tuple[int, int]:
    """Read AM or PM at `end`, as in `07:40:07 PM`: (`second` moved to that half of the day, end of the text)."""
    if line[end : end + 2] not in _HALVES or line[end + 3 : end + 4].isalnum():
        return second, end
    hour = int(line[start + 11 : start + 13])
    if not 1 <= hour <= 12:
        return second, end + 3
    afternoon = line[end + 1] in "Pp"
    return second + ((12 if afternoon else 0) - (12 if hour == 12 else 0)) * 3600 * SECOND_NS, end + 3


def short_year(line: str, start: int, arrival_ns: int) -> Time | None:
    """`17/06/09 20:10:40`: two digits of the year first."""
    if line[start + 2 : start + 3] != "/" or line[start + 5 : start + 6] != "/" or line[start + 11 : start + 12] != ":":
        return None
    second = second_ns("20" + line[start : start + 17])
    return None if second is None else (second, start + 17, None)


def packed(line: str, start: int, arrival_ns: int) -> Time | None:
    """`081109 203615`: yymmdd hhmmss."""
    day, time = line[start : start + 6], line[start + 7 : start + 13]
    if line[start + 6 : start + 7] != " " or line[start + 13 : start + 14] != " ":
        return None
    if not (day.isdecimal() and time.isdecimal()):
        return None
    second = second_ns(f"20{day[:2]}-{day[2:4]}-{day[4:]} {time[:2]}:{time[2:4]}:{time[4:]}")
    return None if second is None else (second, start + 13, None)


def epoch(line: str, start: int, arrival_ns: int) -> Time | None:
    """Read an epoch number in s (perhaps with a fraction), ms, µs or ns; the number of digits gives the unit.

    Also reads seconds as Go prints floats: `1.796067607123e+09`, with six decimals or more.
    """
    word = line[start : start + 32].split(None, 1)
    if not word:
        return None
    if word[0][1:2] == "." and word[0][-4:] == "e+09":
        return _of_exponent(word[0], start)
    digits, _, fraction = word[0].partition(".")
    scale = _SCALES.get(len(digits))
    if scale is None or not digits.isdecimal():
        return None
    time_ns = int(digits) * scale
    if fraction:
        if len(digits) not in (10, 13) or not fraction.isdecimal():
            return None
        time_ns += int(fraction[:9].ljust(9, "0")) * scale // SECOND_NS
    elif word[0][-1] == ".":
        return None
    return (time_ns, start + len(word[0]), UTC) if _FIRST_S <= time_ns // SECOND_NS < _LAST_S else None


def _of_exponent(word: str, start: int) -> Time | None:
    digits = word[0] + word[2:-4]
    if not 7 <= len(digits) <= 19 or not digits.isdecimal():
        return None
    time_ns = int(digits.ljust(19, "0"))
    return (time_ns, start + len(word), UTC) if _FIRST_S <= time_ns // SECOND_NS < _LAST_S else None


def of_number(value: int | float) -> int | None:
    """An epoch number in s, ms, µs or ns as nanoseconds; None if it lies before September 2001 or after 2099.

    A float is rounded to whole microseconds, the precision of a float at today's epoch.
    """
    try:
        scale = _SCALES.get(len(str(int(value)))) if value > 0 else None
    except (ValueError, OverflowError):  # NaN, infinity, more digits than Python writes
        return None
    if scale is None:
        return None
    time_ns = value * scale if type(value) is int else round(value * (scale / 1000)) * 1000 if scale > 1 else int(value)
    return time_ns if _FIRST_S <= time_ns // SECOND_NS < _LAST_S else None


def syslog(line: str, start: int, arrival_ns: int) -> Time | None:
    """`Jun 14 15:16:01`, `Jun  4 15:16:01`: no year."""
    month = MONTHS.get(line[start : start + 3])
    if month is None or line[start + 3 : start + 4] != " " or line[start + 9 : start + 10] != ":":
        return None
    found = nearest_year(
        f"{month:02}-{line[start + 4 : start + 6].replace(' ', '0')} {line[start + 7 : start + 15]}", arrival_ns
    )
    if found is None:
        return None
    fraction, end = _fraction(line, start + 15)
    if line[end + 2 : end + 3] in _HALF_ENDS:
        found, end = _of_half(line, start - 4, found, end)
    if line[end : end + 1] == " " and ":" in line[end + 4 : end + 6] and line[end + 1 : end + 4].isupper():
        away, end, zone = zones.after(line, end)  # Cisco: `Nov 30 19:40:07.123 UTC: %SYS-5-…`
        return found + fraction - away, end, zone
    return found + fraction, end, None


def yearless(line: str, start: int, arrival_ns: int) -> Time | None:
    """`03-17 16:13:38.811`: month and day, no year."""
    if line[start + 2 : start + 3] != "-" or line[start + 5 : start + 6] != " " or line[start + 8 : start + 9] != ":":
        return None
    found = nearest_year(line[start : start + 14], arrival_ns)
    if found is None:
        return None
    fraction, end = _fraction(line, start + 14)
    return found + fraction, end, None


def klog(line: str, start: int, arrival_ns: int) -> Time | None:
    """`0102 15:04:05.678901` after a level's letter: month and day, no year."""
    if line[start + 5 : start + 6] == ":" or line[start + 4 : start + 5] != " " or line[start + 7 : start + 8] != ":":
        return None
    found = nearest_year(
        f"{line[start : start + 2]}-{line[start + 2 : start + 4]} {line[start + 5 : start + 13]}", arrival_ns
    )
    if found is None:
        return None
    fraction, end = _fraction(line, start + 13)
    return found + fraction, end, None


def nearest_year(text: str, arrival_ns: int) -> int | None:
    key = (text, arrival_ns)  # all lines of a batch have one arrival, and many have the same second
    if key not in _YEARLESS:
        if len(_YEARLESS) >= _CACHE_SIZE:
            _YEARLESS.clear()
        _YEARLESS[key] = _in_the_last_year(text, arrival_ns)
    return _YEARLESS[key]


def _in_the_last_year(text: str, arrival_ns: int) -> int | None:
    """`MM-DD hh:mm:ss` in the latest year that puts it at most one day after arrival (29 February: a leap year)."""
    year = dt.datetime.fromtimestamp(arrival_ns // SECOND_NS + 86_400, dt.UTC).year
    for candidate in range(year, year - 9, -1):
        second = second_ns(f"{candidate:04}-{text}")
        if second is not None and second <= arrival_ns + DAY_NS:
            return second
        if second is None and not text.startswith("02-29"):
            return None
    return None


def ctime(line: str, start: int, arrival_ns: int) -> Time | None:
    """`Sun Dec 04 04:47:44 2005`, as Apache's error log writes it, perhaps with a fraction before the year."""
    month = MONTHS.get(line[start + 4 : start + 7])
    if month is None or line[start + 13 : start + 14] != ":":
        return None
    fraction, end = _fraction(line, start + 19)
    day, year = line[start + 8 : start + 10].replace(" ", "0"), line[end + 1 : end + 5]
    second = second_ns(f"{year}-{month:02}-{day} {line[start + 11 : start + 19]}")
    return None if second is None else (second + fraction, end + 5, None)


def common_log(line: str, start: int, arrival_ns: int) -> Time | None:
    """`17/May/2015:10:05:03 +0000`, as access logs write it; `30/Nov/2026 19:40:07`, `30/Nov/2026:19:40:07.123`."""
    text = line[start : start + 20]
    if text not in _COMMON:
        if len(_COMMON) >= _CACHE_SIZE:
            _COMMON.clear()
        month = MONTHS.get(text[3:6])
        day = (
            f"{text[7:11]}-{month:02}-{text[:2]} {text[12:]}"
            if month and text[11:12] in (":", " ") and text[2] == "/"
            else ""
        )
        _COMMON[text] = second_ns(day)
    second = _COMMON[text]
    if second is None:
        return None
    if line[start + 20 : start + 26] == " +0000":
        return second, start + 26, UTC
    fraction, end = _fraction(line, start + 20)
    away, end, zone = zones.after(line, end)
    return second + fraction - away, end, zone


def minutes(line: str, start: int, arrival_ns: int) -> Time | None:
    """`2026-11-30T19:40Z`: no seconds."""
    if (
        line[start + 4 : start + 5] != "-"
        or line[start + 13 : start + 14] != ":"
        or line[start + 16 : start + 17] == ":"
    ):
        return None
    second = second_ns(line[start : start + 16])
    if second is None:
        return None
    away, end, zone = zones.after(line, start + 16)
    return second - away, end, zone
