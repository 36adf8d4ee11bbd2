"""Failpoints: places between two durable steps, named so that a test can kill a process there.

`HEADWATER_FAILPOINT=<name>` makes a process kill itself (SIGKILL) at that place; `<name>#<n>` makes it do so the n-th
time. Failpoints are for tests alone and do nothing unless that variable is set.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

VARIABLE = "HEADWATER_FAILPOINT"

_reached: Counter[str] = Counter()

# Failpoint -> the steps that are durable when a process reaches it. The kill test visits all of them.
FAILPOINTS: dict[str, str] = {}


def failpoint(name: str, durable: str) -> str:
    """Register a failpoint; `durable` names the steps that are durable when a process reaches it.

    Raises:
        ValueError: The name is taken.
    """
    if name in FAILPOINTS:
        raise ValueError(f'failpoint "{name}" is registered twice')
    FAILPOINTS[name] = durable
    return name


def reach(name: str) -> None:
    """The process is at the failpoint `name`; kill it if the variable names this failpoint."""
    armed = os.environ.get(VARIABLE)
    if not armed:
        return
    wanted, _, turn = armed.partition("#")
    if wanted == name:
        _reached[name] += 1
        if _reached[name] == int(turn or 1):
            os.kill(os.getpid(), signal.SIGKILL)
