"""A process to be killed: appends from four threads and prints each acknowledged message, `name offset`, as it comes.

python -m tests.bus.appender PATH ROUND [acknowledge-early]
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time

from bus.sqlite.bus import SqliteBus
from bus.sqlite.group_commit import Append, GroupCommit
from contracts.messages import Message
from contracts.settings import load_settings

TOPIC = "t"
KEYS = ("a", "b", "c", "d")


def payload_of(name: str) -> bytes:
    """The one right payload of the message `name`: 40 B to 40 KB, so that pages fill in every way."""
    seed = hashlib.sha256(name.encode()).digest()
    return name.encode() + b"\n" + seed * (1 + int.from_bytes(seed[:2], "big") % 1250)


def write(bus: SqliteBus, run: str, key: str) -> None:
    number = 0
    while True:
        names = [f"{run}/{key}/{number + index}" for index in range(1 + number % 3)]
        offsets = bus.append(TOPIC, key, [Message(payload_of(name), {"name": name}) for name in names])
        lines = "".join(f"{name} {offset}\n" for name, offset in zip(names, offsets, strict=True))
        os.write(1, lines.encode())
        number += len(names)


def acknowledge_early() -> None:
    """Sabotage: an append returns once it is queued, before its transaction."""

    def too_early(self: GroupCommit, append: Append, timeout_s: float | None) -> int:
        time.sleep(0.001)
        return 0

    GroupCommit.wait_durable = too_early  # type: ignore[method-assign]  # the point of it


def main(path: str, run: str, *sabotage: str) -> None:
    if sabotage:
        acknowledge_early()
    bus = SqliteBus(path, load_settings(_env_file=None, bus_group_commit_ms=2))
    threads = [threading.Thread(target=write, args=(bus, run, key)) for key in KEYS]
    for thread in threads:
        thread.start()
    for thread in threads:  # they end by being killed; from Python 3.12 on, an ended main thread lets no thread begin
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
