"""Set aside: records that the service refuses for good -> `set_aside.ndjson`, with the reason.

A kill before the acknowledgement is saved may repeat lines in this file; (epoch, sequence) identifies repeats.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from agents.outbox import Batch
from contracts.files import write_all


@dataclass(frozen=True, slots=True)
class Verdict:
    """The reason why the record at `index` of a batch was refused."""

    index: int
    code: str
    reason: str


class SetAside:
    """Appends to the file `path` and syncs it. The first `store` creates the file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "set_aside.ndjson"

    def store(self, kind: str, batch: Batch, status: int, verdicts: Sequence[Verdict]) -> int:
        """Write the records that `verdicts` name to the file; return their number.

        Raises:
            OSError: The file cannot be written; the call may be repeated.
        """
        lines = batch.payload.split(b"\n")
        named = {verdict.index: verdict for verdict in verdicts if 0 <= verdict.index < batch.count}
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        kept = [
            msgspec.json.encode(
                {
                    "time": now,
                    "kind": kind,
                    "status": status,
                    "code": verdict.code,
                    "reason": verdict.reason,
                    "epoch": batch.epoch,
                    "sequence": batch.sequence + index,
                    "record": msgspec.Raw(lines[index]),
                }
            )
            for index, verdict in sorted(named.items())
        ]
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, b"\n".join([*kept, b""]))
            os.fsync(fd)
        finally:
            os.close(fd)
        return len(kept)
