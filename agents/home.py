"""Home: the agent's folder -> a lock, and atomically replaced files."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

import msgspec

from agents.positions import Position
from contracts.errors import ConfigError
from contracts.files import replace_file
from contracts.locks import read_note, try_lock, write_note

RESERVE_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def checked_name(name: str) -> str:
    """`name`, if an agent may have it.

    Raises:
        ConfigError: It may not; the message says what is allowed.
    """
    if not _NAME.match(name):
        raise ConfigError(f'agent name "{name[:80]}" is not allowed: use 1-64 letters, digits, ".", "_" and "-"')
    return name


class State(msgspec.Struct, frozen=True):
    """State of the agent that must outlive the segments of the buffer.

    Attributes:
        producer: Random id, created once.
        epoch, sequence: Of the next record at the time of writing; later frames advance it.
        acked: All records before this (epoch, sequence) are acknowledged or set aside.
        positions: Read positions by file.
    """

    producer: str
    epoch: int = 0
    sequence: int = 0
    acked: tuple[int, int] = (0, 0)
    positions: dict[str, Position] = msgspec.field(default_factory=dict)


class Acked(msgspec.Struct, frozen=True):
    epoch: int
    sequence: int


class Home:
    """The folder of one agent, locked. A second agent on the same folder is refused."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = try_lock(folder / "lock")
        except OSError as error:
            reason = f'agent folder "{folder}" cannot be used: {error}'
            raise ConfigError(reason, hint="set HEADWATER_AGENT_DIR to a writable folder") from error
        if descriptor is None:
            holder = read_note(folder / "lock").decode(errors="replace").strip() or "?"
            raise ConfigError(
                f'agent folder "{folder}" is in use by process {holder}',
                hint="stop that agent, or give this agent another folder by HEADWATER_AGENT_DIR or --name",
            )
        self._lock = descriptor
        write_note(descriptor, f"{os.getpid()}\n".encode())
        self._reserve()

    def load_state(self) -> State | None:
        """The stored state; None if the file does not exist.

        Raises:
            ValueError: The file cannot be decoded; it was renamed to `state.json.damaged`.
        """
        path = self.folder / "state.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as error:
            path.rename(path.with_suffix(".json.damaged"))
            raise ValueError(str(error)) from error

    def save_state(self, state: State) -> None:
        """Replace the state file atomically, and sync it. On a full disk the reserve file is deleted for it."""
        data = msgspec.json.encode(state)
        try:
            replace_file(self.folder / "state.json", data)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            (self.folder / "reserve").unlink(missing_ok=True)
            replace_file(self.folder / "state.json", data)
        self._reserve()

    def load_acked(self) -> tuple[int, int]:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            acked = msgspec.json.decode((self.folder / "acked.json").read_bytes(), type=Acked)
            return acked.epoch, acked.sequence
        return 0, 0

    def save_acked(self, acked: tuple[int, int]) -> None:
        """Not synced: survives a kill. After a power loss an older value makes the agent repeat requests."""
        with contextlib.suppress(OSError):
            replace_file(self.folder / "acked.json", msgspec.json.encode(Acked(*acked)), sync=False)

    def close(self) -> None:
        os.close(self._lock)

    def _reserve(self) -> None:
        """Keep space for the state file: on a full disk the agent must write it before it deletes segments."""
        path = self.folder / "reserve"
        if path.exists():
            return
        try:
            path.write_bytes(bytes(RESERVE_BYTES))
        except OSError:
            path.unlink(missing_ok=True)


def new_producer() -> str:
    return f"agent-{secrets.token_hex(8)}"
