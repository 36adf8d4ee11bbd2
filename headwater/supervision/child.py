"""A child's tie to its parent: a process started by `headwater` -> killed by the kernel when the parent ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

PARENT = "HEADWATER_CHILD_OF"
ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment for a child: names its parent, and puts our packages before folders of the same name in the cwd."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    ours = {PARENT: str(os.getpid()), "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, **(extra or {})}


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the parent that `environment` named ends for any reason.

    The signal is SIGKILL, as a process can ignore any other; the next start replays unfinished work from the bus. Does
    nothing in a process that `headwater` did not start, and outside Linux.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # the parent ended before the call above
        os.kill(os.getpid(), signal.SIGKILL)
