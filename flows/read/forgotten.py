"""Forgotten: senders that a flow forgot because there were too many -> a small file in the data folder -> a metric."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contracts.files import replace_file
from contracts.messages import Kind

if TYPE_CHECKING:  # an API that asks for the counts need not load what counts them
    from flows.read.repeats import Repeats

_FOLDER = "flows"
_PREFIX = "forgotten-"


class Forgotten:
    """Counts of one partition, which outlive the process."""

    def __init__(self, data: Path, kind: Kind, partition: int) -> None:
        self._path = data / _FOLDER / f"{_PREFIX}{kind.value}-{partition}.json"
        self._before = _read(self._path)
        self._noted = (0, 0)

    def note(self, repeats: Repeats) -> None:
        """Write what `repeats` has forgotten in this process, and what was forgotten before it.

        Raises:
            OSError: It is not written; the next call writes all.
        """
        counts = repeats.keys_pushed_out, repeats.streams_pushed_out
        if counts == self._noted:
            return
        total = {
            name: self._before.get(name, 0) + count for name, count in zip(("keys", "streams"), counts, strict=True)
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self._path, msgspec.json.encode(total), sync=False)
        self._noted = counts


def forgotten_counts(data: Path) -> Mapping[tuple[str, str], int]:
    """By (kind, "keys" or "streams"), over all partitions whose flow has this data folder."""
    sums: dict[tuple[str, str], int] = {}
    for path in sorted((data / _FOLDER).glob(f"{_PREFIX}*.json")):
        kind = path.stem.removeprefix(_PREFIX).rpartition("-")[0]
        for name, count in _read(path).items():
            sums[kind, name] = sums.get((kind, name), 0) + count
    return sums


def _read(path: Path) -> dict[str, int]:
    with contextlib.suppress(OSError, ValueError):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    return {}
