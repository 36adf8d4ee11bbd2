"""Folder sync: names that were made, moved or removed in a folder -> durable."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
