"""Attribute sample: rows of a day -> keys of the attributes with types and numbers of values, from a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lakehouse.upkeep.pinned import PinnedRows

SAMPLE_ROWS = 20_000
KEYS = 200  # number of keys in a profile, the most frequent ones
FREQUENT = 0.01  # share of the sample; a less frequent key counts neither as new nor as missing
KNOWN_DAYS = 3  # a key counts as missing only if so many earlier days had it

_decode = msgspec.json.Decoder(dict[str, Any]).decode
_TYPES = {str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object"}


@dataclass(slots=True)
class KeySample:
    """Facts of one key in the sample."""

    share: float = 0.0
    types: list[str] = field(default_factory=list)
    distinct: int = 0


def sampled_keys(pinned: PinnedRows, rows: str, count: int) -> dict[str, KeySample]:
    """The most frequent keys of about `SAMPLE_ROWS` rows, spread over all messages of the day."""
    every = max(1, count // SAMPLE_ROWS)
    texts = pinned.table(
        f"SELECT attributes FROM {rows} WHERE attributes IS NOT NULL AND attributes <> ''"
        f" AND (bus_offset * 7919 + bus_index) % {every:d} = 0"
    ).column("attributes")
    counts: dict[str, int] = {}
    types: dict[str, set[str]] = {}
    values: dict[str, set[str]] = {}
    for text in map(str, texts.to_pylist()):
        try:
            pairs = _decode(text)
        except msgspec.DecodeError:
            pairs = {"not JSON": text}
        for key, value in pairs.items():
            counts[key] = counts.get(key, 0) + 1
            types.setdefault(key, set()).add(_TYPES.get(type(value), "null"))
            values.setdefault(key, set()).add(str(value))
    frequent = sorted(counts, key=lambda key: (-counts[key], key))[:KEYS]
    return {
        key: KeySample(round(counts[key] / len(texts), 4), sorted(types[key]), len(values[key])) for key in frequent
    }


def attributes_frame(keys: Mapping[str, KeySample], before: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The changes since earlier days, one row per key of the day or of the days before.

    Args:
        before: `facts["attributes"]` of the days before, the newest first.
    """
    frame = []
    known = {key for day in before for key in day}
    lost = [key for key in sorted(known - set(keys)) if _was_always_there(key, before)]
    for key in [*keys, *lost]:
        now = keys.get(key)
        was = sorted({name for day in before if key in day for name in day[key]["types"]})
        changed = before and (now is None or _is_new(now, was) or (was and not set(now.types) <= set(was)))
        frame.append(
            {
                "key": key,
                "share": now.share if now else 0.0,
                "types": ", ".join(now.types) if now else "none",
                "was": ", ".join(was) or "none",
                "distinct": now.distinct if now else 0,
                "changed": int(bool(changed)),
            }
        )
    return frame


def _is_new(now: KeySample, was: Sequence[str]) -> bool:
    return not was and now.share >= FREQUENT


def _was_always_there(key: str, before: Sequence[Mapping[str, Any]]) -> bool:
    return len(before) >= KNOWN_DAYS and all(day.get(key, {}).get("share", 0.0) >= FREQUENT for day in before)
