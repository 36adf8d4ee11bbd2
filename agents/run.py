"""Run: settings -> a log agent or a host agent, until a stop.

Files or metrics -> buffer (this thread) -> HTTP (one thread). After a stop the agent ends within 5 seconds: it stops
reading, syncs the records it has read, lets the request in flight end, and leaves the rest in the buffer. `until_told`
turns signals into a stop.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from urllib.parse import urlsplit

from agents.aside import SetAside
from agents.buffer import Buffer, BufferFull
from agents.counters import Counters
from agents.follow import Follower, Taken
from agents.home import Home
from agents.host import HostMetrics
from agents.joining import joining
from agents.journal import Journal
from agents.lines import Limits, Origin, Part
from agents.pipe import Pipe
from agents.positions import Position
from agents.ship import Shipper, Sizes, Target
from agents.tail import ALL_FILES, FileOptions, Tail
from agents.zone import checked_zone, local_zone
from contracts.errors import ConfigError
from contracts.open_files import allow_many_files
from contracts.settings import MIB, Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
FRAME_BYTES = 1 << 20  # a round of reading with more bytes of records is stored at once
STATUS_S = 1.0
LAST_SEND_S = 2.0
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
FULL_PAUSE_S = 0.25


class Agent:
    """The common parts of both agents: folder, buffer, shipper, counters. Use it as a context manager."""

    def __init__(self, settings: Settings, name: str, kind: str, stop: threading.Event | None = None) -> None:
        self.settings = settings
        self.stopping = stop or threading.Event()
        if not _NAME.match(name):
            raise ConfigError(f'agent name "{name[:80]}" is not allowed: use 1-64 letters, digits, ".", "_" and "-"')
        target = _target(settings, kind, name)
        self.journal = Journal(name, settings.log_level)
        self.home = Home(settings.agent_home / name)
        self.counters = Counters(self.home.folder, name, os.getpid())
        self.buffer = Buffer(self.home, settings.agent_buffer_mib * MIB, settings.agent_segment_mib * MIB, self.journal)
        sizes = Sizes(settings.agent_batch_records, settings.agent_batch_kib << 10, settings.agent_batch_wait_s)
        self.shipper = Shipper(self.buffer, target, sizes, SetAside(self.home.folder), self.counters, self.journal)
        self.extra: Callable[[], dict[str, int]] = dict
        self._saved_s = 0.0

    def __enter__(self) -> Agent:
        self.journal.info("agent started", folder=self.home.folder, producer=self.buffer.producer)
        self.shipper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shipper.stop(LAST_SEND_S)
        self.buffer.close()
        self.save_status("stopped")
        self.journal.info("agent stopped", unsent=self.buffer.unsent)
        self.home.close()

    def store(self, parts: list[Part], positions: dict[str, Position | None]) -> bool:
        """Append to the buffer, and wait while it is full; False if a stop came first."""
        while True:
            self.buffer.freed.clear()
            try:
                self.buffer.append(parts, positions)
                return True
            except BufferFull as full:
                self.counters.failed(str(full))
                self.journal.once("warning", "buffer", "reading stopped until the buffer has room", reason=full)
            if self.stopping.is_set():
                return False
            self.save_status("running", STATUS_S / 4)
            self.buffer.freed.wait(FULL_PAUSE_S)

    def drained(self) -> bool:
        return self.buffer.unsent == 0

    def save_status(self, state: str = "running", every_s: float = 0.0) -> None:
        now = time.monotonic()
        if now - self._saved_s < every_s:
            return
        self._saved_s = now
        epoch, sequence = self.buffer.next
        self.counters.save(
            state=state,
            producer=self.buffer.producer,
            epoch=epoch,
            next_sequence=sequence,
            acked_sequence=self.buffer.acked[1],
            buffered_records=self.buffer.unsent,
            buffer_bytes=self.buffer.size_bytes(),
            lag_s=self.buffer.lag_s(),
            **self.extra(),
        )


def run_logs(
    settings: Settings,
    paths: Sequence[str],
    stdin: bool = False,
    service: str = "",
    env: str = "",
    host: str | None = None,
    name: str = "logs",
    until_idle: bool = False,
    stop: threading.Event | None = None,
    files: FileOptions = ALL_FILES,
    multiline: str = "auto",
    timezone: str = "",
) -> int:
    """Tail `paths` (globs) and, if wanted, standard input until `stop` is set; 0 after a clean stop.

    With `until_idle` the agent returns 0 once all records are read and acknowledged, and 1 if the service refuses the
    key. An agent of standard input alone does the same after the writer has closed it.

    `multiline`: as in `agents.joining`. `timezone`: zone of log lines that name none; "" is that of this process.

    Raises:
        ConfigError: A setting is missing, an option is wrong, or another agent uses the same folder.
    """
    if not paths and not stdin:
        raise ConfigError("the log agent has no source", hint="name files by --path, or pass --stdin")
    line_bytes = settings.agent_line_kib << 10
    how = joining(multiline, settings.agent_multiline_lines, line_bytes, settings.agent_multiline_s)
    zone = checked_zone(timezone) if timezone else local_zone()
    with Agent(settings, name, "logs", stop) as agent:
        allow_many_files()
        origin = Origin(service, env, host or socket.gethostname(), {}, zone)
        limits = Limits(settings.agent_batch_records, settings.agent_batch_kib << 10, line_bytes)
        hold_s = settings.agent_partial_line_s
        tail = Tail(paths, origin, limits, hold_s, agent.buffer.positions, agent.journal, files, how)
        pipe = Pipe(_standard_input(), origin, limits, hold_s, how) if stdin else None
        agent.extra = lambda: {"files": len(tail), "behind_bytes": tail.behind_bytes()}
        try:
            return _follow(agent, tail, pipe, until_idle or not paths)
        finally:
            tail.close()


def _follow(agent: Agent, tail: Tail, pipe: Pipe | None, until_idle: bool) -> int:
    looked_s = -1e9
    poll_s = agent.settings.agent_poll_s
    while not agent.stopping.is_set():
        now_s = time.monotonic()
        if now_s - looked_s >= poll_s:
            tail.look(now_s)
            looked_s = now_s
        read = _read_round(agent, tail, pipe, now_s)
        agent.save_status(every_s=STATUS_S)
        if read:
            continue
        if until_idle and tail.at_end() and (pipe is None or pipe.ended):
            agent.shipper.hurry()
            if agent.drained():
                return 0
            if agent.shipper.denied:
                return 1
            poll_s = min(poll_s, 0.02)
        agent.stopping.wait(poll_s)
    return 0


def _read_round(agent: Agent, tail: Tail, pipe: Pipe | None, now_s: float) -> int:
    """Read each source once and store the records as one frame; return the raw bytes read."""
    observed_ns = time.time_ns()
    takes = _some(tail.takes(now_s, observed_ns))
    parts = [part for _, taken in takes for part in taken.parts]
    size = sum(taken.size for _, taken in takes)
    if pipe:
        piped, piped_bytes = pipe.take(now_s, observed_ns)
        parts += piped
        size += piped_bytes
    positions: dict[str, Position | None] = {taken.position.key: taken.position for _, taken in takes}
    positions |= tail.changes()
    if parts or positions:
        if not agent.store(parts, positions):
            return 0
        for follower, taken in takes:
            follower.commit(taken)
    nul_bytes = sum(taken.nul_bytes for _, taken in takes)
    agent.counters.add(read_lines=sum(part.count for part in parts), read_bytes=size, nul_bytes=nul_bytes)
    return size


def _some(takes: Iterator[tuple[Follower, Taken]]) -> list[tuple[Follower, Taken]]:
    """Reads for one frame of about `FRAME_BYTES`; files that were not reached come first in the next round."""
    chosen: list[tuple[Follower, Taken]] = []
    size = 0
    for follower, taken in takes:
        chosen.append((follower, taken))
        size += sum(len(part.payload) for part in taken.parts)
        if size >= FRAME_BYTES:
            break
    return chosen


def run_host(
    settings: Settings,
    interval_s: float = 10.0,
    service: str = "host",
    env: str = "",
    host: str | None = None,
    name: str = "host",
    until_idle: bool = False,
    stop: threading.Event | None = None,
) -> int:
    """Measure this machine every `interval_s` seconds until `stop` is set; 0 after a clean stop.

    With `until_idle` the agent measures once and returns when the records are acknowledged.

    Raises:
        ConfigError: A setting is missing, or another agent uses the same folder.
    """
    if not interval_s > 0:
        raise ConfigError(f'interval "{interval_s}" is not a positive number of seconds')
    with Agent(settings, name, "metrics", stop) as agent:
        metrics = HostMetrics(service, env, host or socket.gethostname(), settings.agent_batch_records)
        due_s = time.monotonic()
        while not agent.stopping.is_set():
            if time.monotonic() >= due_s:
                parts = metrics.collect(time.time_ns())
                if agent.store(parts, {}):
                    agent.counters.add(read_lines=sum(part.count for part in parts))
                due_s = max(due_s + interval_s, time.monotonic())
                if until_idle:
                    return _drain(agent)
            agent.save_status(every_s=STATUS_S)
            agent.stopping.wait(min(STATUS_S, max(0.0, due_s - time.monotonic())))
    return 0


def _drain(agent: Agent) -> int:
    agent.shipper.hurry()
    while not agent.stopping.wait(0.02) and not agent.drained():
        agent.save_status(every_s=STATUS_S)
        if agent.shipper.denied:
            return 1
    return 0


def _target(settings: Settings, kind: str, stream: str) -> Target:
    url = settings.ingest_url.rstrip("/")
    if not url:
        raise ConfigError(
            "HEADWATER_INGEST_URL is not set", hint="set it to the ingestion service, for example http://127.0.0.1:8080"
        )
    if not _is_http(url):
        raise ConfigError(f'HEADWATER_INGEST_URL "{url}" is not an http or https URL')
    key = settings.api_key.get_secret_value()
    if not key or not key.isascii() or not key.isprintable():
        raise ConfigError(
            "HEADWATER_API_KEY is empty or not printable ASCII", hint="set it to a key with the role ingest"
        )
    return Target(
        url=f"{url}/{kind}",
        key=key,
        kind=kind,
        stream=stream,
        compression=settings.agent_compression,
        timeout_s=settings.agent_timeout_s,
        retry_max_s=settings.agent_retry_max_s,
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _standard_input() -> int:
    try:
        os.fstat(0)
    except OSError as error:
        raise ConfigError("standard input is closed", hint="leave out --stdin") from error
    return 0


def until_told(run: Callable[[threading.Event], int]) -> int:
    """Call `run`, the whole work of this process; SIGTERM and SIGINT set its event. Call it in the main thread.

    Further signals have no effect, also after `run` has returned: a second signal must not kill a process that ends
    cleanly.
    """
    stop = threading.Event()
    try:
        for number in STOP_SIGNALS:
            signal.signal(number, lambda *_: stop.set())
        return run(stop)
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
