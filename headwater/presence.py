"""Presence: the URL of a bus or store -> whether there is anything to open yet, without making it."""

from __future__ import annotations

from pathlib import Path

NONE_YET = "none yet"  # how commands and `doctor` say so


def is_missing(url: str, scheme: str = "") -> bool:
    """True if `url` is a file or folder of this machine that does not exist.

    Args:
        scheme: How the URL of a local file begins; "" for a plain path.
    """
    path = url.removeprefix(scheme)
    return "://" not in path and not Path(path).exists()
