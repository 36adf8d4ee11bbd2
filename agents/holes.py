"""Holes: NULs in a log file, as a truncation under a writer or a power loss leaves them -> where the data goes on."""

from __future__ import annotations

from agents.sources import Source

HOLE = bytes(16)  # a shorter run of NULs counts as text
_READ_BYTES = 1 << 20


def data_after(source: Source, offset: int) -> int | None:
    """Offset of the first byte at or after `offset` that is not NUL; None if only NULs follow.

    Jumps over sparse stretches without reading them.
    """
    while True:
        offset = source.next_data(offset)
        data = source.read_at(_READ_BYTES, offset)
        if not data:
            return None
        text = data.lstrip(b"\0")
        if text:
            return offset + len(data) - len(text)
        offset += len(data)
