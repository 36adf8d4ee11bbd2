"""Errors of Delta's library, of Arrow and of the file system -> `StoreError` with cause and remedy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pyarrow as pa
from deltalake.exceptions import CommitFailedError, DeltaError

from contracts.errors import StoreError
from lakehouse.delta.folder_errors import folder_trouble
from lakehouse.s3.errors import trouble

_LIBRARIES = frozenset({"deltalake", "pyarrow"})
_LOOK = "check the lake's folder or object store"


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn errors of the libraries and the file system into `StoreError`; a lost race stays `CommitFailedError`.

    A `ValueError` of our own code stays `ValueError`: the code or the query is wrong, and a retry would not help.
    """
    try:
        yield
    except CommitFailedError:
        raise
    except (DeltaError, OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, ValueError) and not _is_of_library(error):
            raise
        text = str(error).splitlines()[0][:500] if str(error) else type(error).__name__
        words, hint = trouble(str(error)) or folder_trouble(str(error)) or (text, _LOOK)
        raise StoreError(f"{what}: {words}", hint=hint, retry_after_s=5) from error


def _is_of_library(error: ValueError) -> bool:
    """True if Arrow or Delta's library raised the error; invalid Unicode is an error of the caller."""
    if isinstance(error, pa.ArrowException):
        return True
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_by = str(last.tb_frame.f_globals.get("__name__", "")) if last is not None else ""
    return raised_by.partition(".")[0] in _LIBRARIES and not isinstance(error, UnicodeError)
