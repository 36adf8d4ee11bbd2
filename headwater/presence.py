"""Presence: the URL of a bus or store -> true if its file or folder is missing; creates nothing."""

from __future__ import annotations

from pathlib import Path

NONE_YET = "none yet"  # text of commands and `doctor` for a missing file


def is_missing(url: str, scheme: str = "") -> bool:
    """True if `url` is a file or folder of this machine that does not exist.

    Args:
        scheme: Prefix of a URL of a local file; "" for a plain path.
    """
    path = url.removeprefix(scheme)
    return "://" not in path and not Path(path).exists()
