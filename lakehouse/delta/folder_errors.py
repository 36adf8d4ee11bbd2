"""Folder errors: error text of the file system -> cause and remedy, in one line each."""

from __future__ import annotations

from lakehouse.s3.errors import Trouble

# Source: errno.h of Linux. The engine writes the number in parentheses at the end, Python in brackets at the start.
_BY_NUMBER = {
    28: Trouble("the disk is full", "free some space, or let `headwater retention` delete older days"),
    122: Trouble("the disk quota is used up", "raise it, or let `headwater retention` delete older days"),
    30: Trouble("the file system is read-only", "mount it writable"),
    13: Trouble("access to the folder is denied", "let the user that runs headwater read and write there"),
    5: Trouble("the disk fails (input/output error)", "see the system's log, and restore lost files"),
    24: Trouble("too many files are open", "raise the limit of the service: `ulimit -n`"),
}


def folder_trouble(text: str) -> Trouble | None:
    """Cause and remedy for the error text of a local folder; None if the text is about something else."""
    for number, known in _BY_NUMBER.items():
        if f"(os error {number})" in text or f"[Errno {number}]" in text:
            return known
    return None
