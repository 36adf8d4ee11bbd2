"""Listing: the paths that match patterns now -> the regular files among them, by device and inode."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from agents.journal import Journal
from agents.sources import key_of


def listing(paths: Iterable[str], journal: Journal) -> dict[str, tuple[os.stat_result, list[str]]]:
    """Status and paths by file; several paths if links lead to the same file."""
    listed: dict[str, tuple[os.stat_result, list[str]]] = {}
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116 - in the innermost loop; glob gives text
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                journal.once("warning", path, "file cannot be checked, the agent will retry", path=path, error=error)
            continue
        if stat.S_ISREG(status.st_mode):
            listed.setdefault(key_of(status), (status, []))[1].append(path)
    return listed
