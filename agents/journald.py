"""Journald: the journal of systemd, by `journalctl` -> records, with the cursor of the last one as the position.

Delivery: the cursor is stored in one frame with the records before it, so a restart goes on behind the last stored
entry: each entry is sent once. Not handled: entries that journald deletes before the agent has read them; the agent
tells that a cursor is gone, counts it (`gaps`) and goes on with the oldest entry that is left.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from agents.journal import Journal
from agents.journal_entries import entry_of, record
from agents.lines import Limits, Origin, Part
from agents.positions import Position
from contracts.errors import ConfigError

KEY = "journald"  # begins the key of its position among those of files, which are "device:inode"
CHUNK_BYTES = 1 << 20
LINE_BYTES = 64 << 20  # a longer line of journalctl is no entry: skipped and counted
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
_PROBE_S = 30.0


@dataclass(frozen=True, slots=True)
class JournalOptions:
    """What is read.

    Attributes:
        units: Names of systemd units; none: all.
        begin: "start": the oldest entry, "end": entries that come from now on; for the first start only.
        directory: Folder of journal files; "": this machine's journal.
        program: The command `journalctl`.
    """

    units: tuple[str, ...] = ()
    begin: str = "start"
    directory: str = ""
    program: str = "journalctl"

    @property
    def key(self) -> str:
        """Of the position among those of files: one for each journal, whatever is chosen from it."""
        return f"{KEY}:{self.directory}"


class Journald:
    """Follows the journal. Not thread-safe.

    Attributes:
        key: Of its position.
        cursor: Of the last entry that `take` returned and `commit` confirmed; "": none yet.
        gaps: How often the cursor was gone from the journal.
        skipped: Lines of journalctl that were no entry.

    Raises:
        ConfigError: The command is missing.
    """

    def __init__(
        self, options: JournalOptions, origin: Origin, limits: Limits, known: Position | None, journal: Journal,
        follow: bool = True,
    ) -> None:  # fmt: skip
        if shutil.which(options.program) is None:
            raise ConfigError(
                f'command "{options.program}" is not on this machine',
                hint="journald is read by journalctl, which comes with systemd; read files by --path instead",
            )
        self.cursor = known.cursor if known else ""
        self.key = options.key
        self.gaps = self.skipped = 0
        self._options, self._origin, self._limits, self._journal = options, origin, limits, journal
        self._follow = follow
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._retry_s, self._pause_s = 0.0, FIRST_PAUSE_S
        self._ended = False

    def take(self, now_s: float, observed_ns: int) -> tuple[list[Part], Position | None, int]:
        """Records of the entries that are ready, the position after them (None: none came), and the bytes read.

        Never blocks for long. Call `commit` after the records are stored.
        """
        data = self._read(now_s)
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        self._rest = rest if len(rest) <= LINE_BYTES else b""
        if len(rest) > LINE_BYTES:
            self._skip("it is longer than the limit", rest)
        records, cursor = self._records(whole.split(b"\n") if newline else [], observed_ns)
        if not cursor:
            return [], None, len(data)
        return self._parts(records), Position(self.key, 0, 0, cursor=cursor), len(data)

    def commit(self, position: Position) -> None:
        self.cursor = position.cursor
        self._pause_s = FIRST_PAUSE_S

    def at_end(self) -> bool:
        """True if journalctl has ended and all of its lines are read; only without `follow`."""
        return self._ended and not self._rest

    def close(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def _read(self, now_s: float) -> bytes:
        if self._process is None:
            if self._ended or now_s < self._retry_s:
                return b""
            self._start()
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return b""
        data = os.read(self._process.stdout.fileno(), CHUNK_BYTES)
        if not data:
            self._has_ended(now_s)
        return data

    def _start(self) -> None:
        command = [self._options.program, *self._source(), "--output=json", "--all", "--quiet", "--no-pager"]
        if self._follow:
            command.append("--follow")
        if self.cursor:
            self._look_for_cursor()
            command += [f"--after-cursor={self.cursor}", "--lines=all"]
        else:
            command.append("--lines=0" if self._options.begin == "end" else "--lines=all")
        self._rest = b""
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._journal.info("reading of the journal begins", command=" ".join(command))

    def _source(self) -> list[str]:
        units = [f"--unit={unit}" for unit in self._options.units]
        return [*([f"--directory={self._options.directory}"] if self._options.directory else ["--merge"]), *units]

    def _look_for_cursor(self) -> None:
        command = [self._options.program, *self._source()[:1], "--output=json", "--quiet", "--no-pager"]
        command += [f"--cursor={self.cursor}", "--lines=1"]
        try:
            found = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            self._journal.once("warning", KEY, "journalctl does not answer, the agent will retry", error=error)
            return
        entry = entry_of(found.stdout.partition(b"\n")[0])
        if entry is None or entry["__CURSOR"] != self.cursor:
            self.gaps += 1
            self._journal.warning("entries of the journal were deleted before they were read", cursor=self.cursor)
            if found.returncode:  # the cursor cannot be read at all
                self.cursor = ""

    def _has_ended(self, now_s: float) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        self._process.wait()
        status, reason = self._process.returncode, self._process.stderr.read(2000).decode(errors="replace").strip()
        self.close()
        if not self._follow and status == 0:
            self._ended = True
            return
        self._journal.once(
            "error", KEY, "journalctl ended, the agent will start it again", status=status, reason=reason
        )
        self._retry_s, self._pause_s = now_s + self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)

    def _records(self, lines: Sequence[bytes], observed_ns: int) -> tuple[list[bytes], str]:
        records, cursor = [], ""
        for line in lines:
            entry = entry_of(line)
            if entry is None:
                self._skip("it is no JSON object with a cursor", line)
                continue
            cursor = entry["__CURSOR"]
            records.append(record(entry, self._origin, observed_ns))
        return records, cursor

    def _skip(self, reason: str, line: bytes) -> None:
        if line.strip():
            self.skipped += 1
            self._journal.once("warning", KEY, f"a line of journalctl was skipped: {reason}", line=line[:200])

    def _parts(self, records: list[bytes]) -> list[Part]:
        parts: list[Part] = []
        run: list[bytes] = []
        size = 0
        for each in records:
            if run and (len(run) >= self._limits.records or size + len(each) > self._limits.bytes):
                parts.append(Part(len(run), b"".join(run)))
                run, size = [], 0
            run.append(each)
            size += len(each)
        return [*parts, Part(len(run), b"".join(run))] if run else parts
