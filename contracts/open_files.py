"""Open files: the soft limit of this process -> the hard limit."""

from __future__ import annotations

import contextlib
import resource

_NUMBER = 10_240  # for "unlimited", which macOS refuses; source: its setrlimit(2), OPEN_MAX


def allow_many_files() -> int:
    """Raise this process's limit of open files as far as the system allows; return the new limit. Idempotent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _NUMBER if hard == resource.RLIM_INFINITY else hard
    if 0 <= soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return _NUMBER if soft == resource.RLIM_INFINITY else soft
