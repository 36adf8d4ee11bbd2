"""Waiting for what another thread or process does: a condition -> its first true value."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

TIMEOUT_S = 60.0


def until(condition: Callable[[], Any], what: str = "it", timeout_s: float = TIMEOUT_S, every_s: float = 0.02) -> Any:
    """The first true value of `condition`; fails the test with `what` after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        if value := condition():
            return value
        time.sleep(every_s)
    raise AssertionError(f"{what} did not happen within {timeout_s:g} s")
