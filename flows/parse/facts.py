"""Facts: what a line says of itself, and the shape of a form, which is one way in which lines are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from text.levels import Severity
from text.zones import UTC


class LineFacts(msgspec.Struct, gc=False):
    """What a line says of itself.

    Attributes:
        time_ns: Unix nanoseconds, UTC, without bounds; None when it says no time.
        zone: As `text.times` gives it: "" when `time_ns` is UTC, None when the line names no zone, or a zone's name.
        inside: Text that the line is an envelope of, still to be read; "" when it is none.
        inside_key: Attribute that holds `inside`: it goes when the inside has attributes of its own.
        is_message: `inside` may be a sentence: a bare small word in front of it is no level.
    """

    time_ns: int | None = None
    severity: Severity | None = None
    attributes: dict[str, Any] = {}  # msgspec gives each its own
    trace_id: str = ""
    span_id: str = ""
    zone: str | None = UTC
    inside: str = ""
    inside_key: str = ""
    is_message: bool = False


@dataclass(frozen=True, slots=True)
class AttributeLimits:
    """Most attributes taken from a line, and how deep objects are opened."""

    attributes: int
    depth: int


Form = Callable[[str, int, AttributeLimits], LineFacts | None]
