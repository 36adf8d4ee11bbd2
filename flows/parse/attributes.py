"""Attributes: nested objects -> flat dotted keys with scalar values or lists of scalars.

A list that holds objects or lists becomes its JSON text; so does what is nested deeper than the limit. `null` says
nothing and is left out. Keys that meet (`{"a.b": 1, "a": {"b": 2}}`): the last one wins.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

NESTED = frozenset((dict, list))
_TO_OPEN = frozenset((dict, list, type(None)))
MAX_KEY_CHARS = 256  # of keys found in text; a sender's own keys are kept as they are

_encode = msgspec.json.Encoder().encode


def is_flat(attributes: Mapping[str, Any]) -> bool:
    """Whether every value is a scalar: then `flatten` would change nothing."""
    return _TO_OPEN.isdisjoint(map(type, attributes.values()))


def flatten(attributes: Mapping[str, Any], depth: int) -> dict[str, Any]:
    """A flat copy; objects down to `depth` levels are opened."""
    flat: dict[str, Any] = {}
    _into(flat, "", attributes, depth)
    return flat


def _into(flat: dict[str, Any], prefix: str, attributes: Mapping[str, Any], depth: int) -> None:
    for key, value in attributes.items():
        kind = type(value)
        if kind is dict:
            if depth > 1:
                _into(flat, f"{prefix}{key}.", value, depth - 1)
            else:
                flat[prefix + key] = _encode(value).decode()
        elif kind is list:
            flat[prefix + key] = value if NESTED.isdisjoint(map(type, value)) else _encode(value).decode()
        elif value is not None:
            flat[prefix + key] = value


def own_attributes(sent: Mapping[str, Any] | None, depth: int) -> dict[str, Any]:
    """A sender's attributes, flat; a dict that the caller may change."""
    if not sent:
        return {}
    return dict(sent) if is_flat(sent) else flatten(sent, depth)


def within(found: dict[str, Any], limit: int) -> dict[str, Any]:
    """What was found in text, cut to `limit` attributes; the whole stays in the body."""
    if len("".join(found)) > MAX_KEY_CHARS and max(map(len, found)) > MAX_KEY_CHARS:
        found = {key: value for key, value in found.items() if len(key) <= MAX_KEY_CHARS}
    if len(found) > limit:
        found = dict(list(found.items())[:limit])
    return found
