"""MessagePack as Fluent Bit and Fluentd send it: a stream of `[time, record]` -> one JSON record each.

Fluent Bit's output `http` sends this form by default. A time is a number or an `EventTime` (seconds and nanoseconds);
newer versions write `[[time, metadata], record]`. A list of entries, a list of records and a record alone are read too.
The time becomes the field `date`, as in Fluent Bit's JSON, so both forms are read alike.

Source: https://github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1 (EventTime).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw
from msgspec.msgpack import Ext

from ingestion_api.candidates import Candidates, Limits, too_many

MEDIA_TYPES = frozenset({"application/msgpack", "application/x-msgpack", "application/vnd.msgpack"})
EVENT_TIME = 0  # type of the extension
_GROUP_MARKS = (0xFFFFFFFF, 0xFFFFFFFE)  # seconds of an entry that begins or ends a group, and is no record
_MOST_VALUES = 3  # values of the stream for each record that is allowed: a record, and marks around it
_TRAILING = re.compile(r"trailing characters \(byte (\d+)\)")

_skip = msgspec.msgpack.Decoder(Raw).decode
_items = msgspec.msgpack.Decoder(list[Raw]).decode
_value = msgspec.msgpack.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _NoEntryError(ValueError):
    pass


def unpack(body: bytes, limits: Limits, record_bytes: int) -> Candidates:
    """One candidate for each entry. After damage the rest of the stream is one rejected candidate.

    Raises:
        Problem: 413 `too_many_records`, `body_too_large`.
    """
    found = Candidates(limits)
    for number, packed in enumerate(_values(body)):
        if number > _MOST_VALUES * limits.records:  # marks of groups are no records, but cost time
            raise too_many(limits.records)
        if isinstance(packed, str):
            found.refuse(("invalid_msgpack", f"{packed}: send a stream of [time, record]"))
            continue
        for entry in _entries(packed, limits.records):
            _add(found, entry, record_bytes)
    return found


def _values(body: bytes) -> Iterator[memoryview | str]:
    """The values of the stream, still packed; a text says what is wrong with the rest."""
    rest, start = memoryview(body), 0
    while rest:
        try:
            _skip(rest)
            end = len(rest)
        except RecursionError:
            yield f"nested too deep after byte {start}"
            return
        except msgspec.MsgspecError as error:
            place = _TRAILING.search(str(error))
            if place is None:
                reason = str(error).removeprefix("MessagePack data is malformed: ").split(" (byte")[0]
                yield f"{reason[:1].lower()}{reason[1:]}, after byte {start}"
                return
            end = int(place.group(1))
        yield rest[:end]
        start += end
        rest = rest[end:]


def _entries(packed: memoryview, limit: int) -> list[memoryview]:
    """The entries in a value: itself, or the elements of a list of entries or of records."""
    count = _length_of_list(packed)
    if count is None or not count:
        return [packed]
    if count > max(limit, 2):
        raise too_many(limit)
    items = [memoryview(item) for item in _items(packed)]
    if _is_map(items[0]) or (_length_of_list(items[0]) is not None and not (count == 2 and _is_map(items[1]))):
        return items
    return [packed]


def _is_map(packed: memoryview) -> bool:
    return 0x80 <= packed[0] <= 0x8F or packed[0] in (0xDE, 0xDF)


def _length_of_list(packed: memoryview) -> int | None:
    first = packed[0]
    if 0x90 <= first <= 0x9F:
        return first & 0x0F
    if first in (0xDC, 0xDD):
        return int.from_bytes(packed[1 : 3 if first == 0xDC else 5])
    return None


def _add(found: Candidates, entry: memoryview, record_bytes: int) -> None:
    if len(entry) > record_bytes:
        text = f"{len(entry)} bytes, the limit is {record_bytes}: send a smaller record"
        return found.refuse(("record_too_large", text))
    try:
        record = _record(_value(entry))
        return None if record is None else found.add(_encode(record))
    except UnicodeDecodeError as error:
        return found.refuse(("invalid_utf8", f"not UTF-8 at byte {error.start} of a text: send text as UTF-8"))
    except RecursionError:
        return found.refuse(("too_deep", "the record is nested too deep: send fewer levels"))
    except _NoEntryError as error:
        return found.refuse(("not_an_object", f"{error}: send [time, record], where the record is a map"))
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        return found.refuse(("invalid_msgpack", f"{str(error)[:120]}: send a record of texts, numbers, maps and lists"))


def _record(entry: Any) -> dict[str, Any] | None:
    """The record of an entry with its time as `date`; None for the begin and end of a group."""
    moment, metadata = None, None
    if isinstance(entry, list) and len(entry) == 2:
        moment, entry = entry
        if isinstance(moment, list) and moment:
            moment, metadata = moment[0], moment[1] if len(moment) > 1 else None
    if not isinstance(entry, dict):
        raise _NoEntryError("the entry holds no map")
    if isinstance(moment, Ext) and moment.code == EVENT_TIME and len(data := bytes(moment.data)) == 8:
        seconds, nanoseconds = struct.unpack(">II", data)
        if seconds in _GROUP_MARKS:
            return None
        moment = seconds * 1_000_000_000 + nanoseconds
    record: dict[str, Any] = _plain(entry)
    if metadata:
        record.setdefault("metadata", _plain(metadata))
    if moment is not None:
        record.setdefault("date" if "date" not in record else "timestamp", _plain(moment))
    return record


def _plain(value: Any) -> Any:
    """A value of JSON: bytes become text, as Ruby packs text of unknown encoding as bytes."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Ext):
        return bytes(value.data).hex()
    return value.decode(errors="replace") if isinstance(value, bytes) else value
