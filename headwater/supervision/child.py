"""A child's tie to its parent: a process started by `headwater` -> ended by the kernel when the parent is gone."""

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
    """For a child of this process: knows its parent, and finds our packages before like-named folders of the cwd."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    ours = {PARENT: str(os.getpid()), "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
    return {**os.environ, **ours, **(extra or {})}


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the parent that `environment` named is gone, however it ends.

    SIGKILL, because nothing weaker is certain; whatever is killed here is made whole from the bus at the next start.
    Does nothing for a process that was not started by `headwater`, and outside Linux.
    """
    parent = os.environ.pop(PARENT, "")
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it died before the kernel was told
        os.kill(os.getpid(), signal.SIGKILL)
