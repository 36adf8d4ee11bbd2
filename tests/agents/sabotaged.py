"""The agent with one key decision broken from outside: name of the sabotage and arguments -> exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agents import buffer, follow, frames, multiline, ship
from agents.__main__ import main
from agents.between import Between
from agents.joining import Joined, Joining
from agents.lines import Part
from agents.outbox import Batch
from agents.positions import Position

Positions = Mapping[str, Position | None]


def positions_before_the_frame() -> None:
    honest = buffer.Buffer.append

    def append(self: buffer.Buffer, parts: Sequence[Part], positions: Positions) -> None:
        self._move(positions)
        self.checkpoint()
        time.sleep(0.02)
        honest(self, parts, positions)

    buffer.Buffer.append = append  # type: ignore[method-assign]  # the sabotage


def frames_without_positions() -> None:
    honest = frames.encode_frame

    def encode(epoch: int, sequence: int, parts: Sequence[Part], _: Positions, written_s: float) -> Any:
        return honest(epoch, sequence, parts, {}, written_s)

    vars(buffer)["encode_frame"] = encode


def ack_before_the_answer() -> None:
    honest = ship.Shipper._send

    def send(self: ship.Shipper, batch: Batch) -> Any:
        self._buffer._home.save_acked(batch.end)
        return honest(self, batch)

    ship.Shipper._send = send  # type: ignore[method-assign]  # the sabotage


def records_end_with_the_read() -> None:
    honest = multiline.join

    def join(lines: bytes, how: Joining, between: Between, flush: bool, cut: bool = False) -> Joined:
        return honest(lines, how, between, True, cut)

    vars(follow)["join"] = join


CUTTING = "records_end_with_the_read"
SABOTAGES: dict[str, Callable[[], None]] = {
    "positions_before_the_frame": positions_before_the_frame,
    "frames_without_positions": frames_without_positions,
    "ack_before_the_answer": ack_before_the_answer,
}

if __name__ == "__main__":
    (SABOTAGES | {CUTTING: records_end_with_the_read})[sys.argv[1]]()
    raise SystemExit(main(sys.argv[2:]))
