"""Packages that a library imports although this process uses nothing of them -> imports that are refused.

PyArrow imports pandas at its first conversion where pandas is installed (Great Expectations brings it along): 0.26
CPU-seconds and 45 MiB for each process, measured with pyarrow 26.0.1. Without pandas PyArrow works as well.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Refused:
    """A finder that comes before all others and reports the packages of these names as not installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if name in self._names:
            raise ModuleNotFoundError(f'package "{name}" is not used in this process', name=name)
        return None


def refuse_pandas() -> None:
    """From now on `import pandas` fails in this process. Call it before the first use of PyArrow; idempotent."""
    if not any(isinstance(finder, _Refused) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Refused(frozenset({"pandas"})))
