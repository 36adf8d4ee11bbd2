"""Memory: the allocator's habits -> pages that go back to the system when a commit is over."""

from __future__ import annotations

import ctypes
import logging

import pyarrow as pa

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # Source: malloc.h of the GNU C library
KEPT_BYTES = 1 << 20  # the library would raise its own to 64 MiB; much less costs page faults
ARENAS = 2

log = logging.getLogger(__name__)


def give_back() -> None:
    """Ask the C library to keep little of what is freed; does nothing where it cannot.

    A commit takes tens of MiB for a moment, on threads of three libraries. With the defaults each thread keeps its own
    pieces: 500 MiB at the peak of 300,000 records, 360 MiB so.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        log.debug("the C library has no mallopt: memory stays with the process for longer")
        return
    for option, value in ((_ARENA_MAX, ARENAS), (_MMAP_THRESHOLD, KEPT_BYTES), (_TRIM_THRESHOLD, KEPT_BYTES)):
        set_option(option, value)
