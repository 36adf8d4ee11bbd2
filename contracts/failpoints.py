"""Failpoints: places between two durable steps, named so that a test can kill a process there.

`HEADWATER_FAILPOINT=<name>` makes a process kill itself (SIGKILL) when it comes to that place; `<name>#<n>` when it
comes there for the n-th time. It is for tests alone and does nothing unless that variable is set.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "HEADWATER_FAILPOINT"

_reached: Counter[str] = Counter()

# Every failpoint and what is durable when it is reached. The kill test goes through all of them.
FAILPOINTS: dict[str, str] = {}


def failpoint(name: str, durable: str) -> str:
    """Register a place; `durable` says what has been done when it is reached.

    Raises:
        ValueError: The name is taken.
    """
    if name in FAILPOINTS:
        raise ValueError(f'failpoint "{name}" is registered twice')
    FAILPOINTS[name] = durable
    return name


def reach(name: str) -> None:
    """Say that the process has come to the failpoint `name`."""
    armed = os.environ.get(VARIABLE)
    if not armed:
        return
    wanted, _, turn = armed.partition("#")
    if wanted == name:
        _reached[name] += 1
        if _reached[name] == int(turn or 1):
            os.kill(os.getpid(), signal.SIGKILL)
