"""Ports: a number of them → free ones on loopback, where no outgoing connection takes them."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
FIRST = 20_000


def free(count: int, *, prefer: int = 0) -> list[int]:
    """`count` different free ports; the first is `prefer` when that is free.

    They lie below the range of ephemeral ports: an engine that is down for a while finds its port free when it comes
    back, and a client that knocks meanwhile cannot be connected to itself.
    """
    found = [prefer] if prefer and _is_free(prefer) else []
    last = _first_ephemeral() - 1
    while len(found) < count:
        port = random.randint(FIRST, last)
        if port not in found and _is_free(port):
            found.append(port)
    return found


def is_open(port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _first_ephemeral() -> int:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return max(lowest, FIRST + 10_000)
