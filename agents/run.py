"""Run: settings and options -> a log agent, a journal agent, a host agent, or all of a config, until a stop.

Sources -> buffer (this thread) -> HTTP (one thread). After a stop the agent ends within 5 seconds: it stops reading,
syncs the records it has read, lets the request in flight end, and leaves the rest in the buffer. `until_told` turns
signals into a stop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from agents.agent import STATUS_S, Agent
from agents.config import Config, JournalInput, LogInput
from agents.host import HostMetrics
from agents.joining import Joining, joining
from agents.journal import Journal
from agents.journald import Journald
from agents.lines import Limits, Origin, Scalar
from agents.pipe import Pipe
from agents.positions import Position
from agents.reading import Reading
from agents.sources import RESERVED, OpenFiles
from agents.tail import ALL_FILES, UNKNOWN_SERVICE, FileOptions, Tail
from agents.zone import checked_zone, local_zone
from contracts.errors import ConfigError
from contracts.open_files import allow_many_files
from contracts.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


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

    `service`: "" takes that of the container that writes the file, else "unknown_service". `multiline`: as in
    `agents.joining`. `timezone`: zone of log lines that name none; "" is that of this process.

    Raises:
        ConfigError: A setting is missing, an option is wrong, or another agent uses the same folder.
    """
    if not paths and not stdin:
        raise ConfigError("the log agent has no source", hint="name files by --path, or pass --stdin")
    given = LogInput(
        path=tuple(paths), exclude=files.exclude, begin=files.begin, encoding=files.encoding,
        multiline=multiline, timezone=timezone, service=service, env=env, host=host or "",
    )  # fmt: skip
    return _run_inputs(settings, name, [given], [], stdin, until_idle or not paths, stop)


def run_journald(
    settings: Settings,
    given: JournalInput,
    name: str = "journald",
    until_idle: bool = False,
    stop: threading.Event | None = None,
) -> int:
    """Read the journal of systemd until `stop` is set; returns as `run_logs`.

    Raises:
        ConfigError: As `run_logs`; or journalctl is not on this machine.
    """
    return _run_inputs(settings, name, [], [given], False, until_idle, stop)


def run_config(
    settings: Settings, config: Config, until_idle: bool = False, stop: threading.Event | None = None
) -> int:
    """Run all inputs of `config` until `stop` is set; returns as `run_logs`. The metrics have a thread of their own.

    Raises:
        ConfigError: As `run_logs`.
    """
    stopping = stop or threading.Event()
    machine = config.metrics

    def read() -> int:
        return _run_inputs(settings, config.name, config.logs, config.journald, False, until_idle, stopping)

    if machine is None:
        return read()
    about = (machine.interval, machine.service or "host", machine.env, machine.host or None, f"{config.name}-metrics")

    def measure() -> int:
        return run_host(settings, *about, until_idle=until_idle, stop=stopping, attributes=machine.attributes)

    if not config.logs and not config.journald:
        return measure()
    return _both(measure, read, stopping)


def _both(aside: Callable[[], int], main: Callable[[], int], stop: threading.Event) -> int:
    """Run `aside` on a thread and `main` on this one. If one of them fails, the other is stopped."""
    results: list[int] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(aside())
        except BaseException as error:
            errors.append(error)
            stop.set()

    thread = threading.Thread(target=run, name="metrics")
    thread.start()
    try:
        results.append(main())
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
    return max(results)


def _run_inputs(
    settings: Settings,
    name: str,
    inputs: Sequence[LogInput],
    journals: Sequence[JournalInput],
    stdin: bool,
    until_idle: bool,
    stop: threading.Event | None,
) -> int:
    line_bytes = settings.agent_line_kib << 10
    limits = Limits(settings.agent_batch_records, settings.agent_batch_kib << 10, line_bytes)
    hold_s = settings.agent_partial_line_s
    ways = [
        joining(each.multiline, settings.agent_multiline_lines, line_bytes, settings.agent_multiline_s)
        for each in inputs
    ]
    host, zone = _host(settings), local_zone()
    origins = [_origin(each, host, checked_zone(each.timezone) if each.timezone else zone) for each in inputs]
    with Agent(settings, name, "logs", stop) as agent, contextlib.ExitStack() as stack:
        open_files = OpenFiles(min(settings.agent_open_files, allow_many_files() - RESERVED))
        copy_wait_s = settings.agent_copy_wait_s
        known = dict(agent.buffer.positions)
        tails = [
            Tail(each.path, origin, limits, hold_s, known, agent.journal, each.files(), how, open_files, copy_wait_s)
            for each, origin, how in zip(inputs, origins, ways, strict=True)
        ]
        pipe = _pipe(origins[0], limits, hold_s, ways[0]) if stdin else None
        read = [_journald(each, settings, limits, known, agent.journal, not until_idle) for each in journals]
        reading = Reading(agent, tails, pipe, read)
        stack.callback(reading.close)
        return reading.run(until_idle)


def _journald(
    given: JournalInput,
    settings: Settings,
    limits: Limits,
    known: Mapping[str, Position],
    journal: Journal,
    follow: bool,
) -> Journald:
    options = given.options()
    return Journald(options, _origin(given, settings.agent_host), limits, known.get(options.key), journal, follow)


def _origin(given: LogInput | JournalInput, host: str, zone: str = "") -> Origin:
    return Origin(given.service, given.env, given.host or host, given.attributes, zone)


def _pipe(origin: Origin, limits: Limits, hold_s: float, how: Joining) -> Pipe:
    named = replace(origin, service=origin.service or UNKNOWN_SERVICE)
    return Pipe(_standard_input(), named, limits, hold_s, how)


def _host(settings: Settings) -> str:
    """The host of records that nobody names one for."""
    return settings.agent_host or socket.gethostname()


def run_host(
    settings: Settings,
    interval_s: float = 10.0,
    service: str = "host",
    env: str = "",
    host: str | None = None,
    name: str = "host",
    until_idle: bool = False,
    stop: threading.Event | None = None,
    attributes: Mapping[str, Scalar] | None = None,
) -> int:
    """Measure this machine every `interval_s` seconds until `stop` is set; 0 after a clean stop.

    With `until_idle` the agent measures once and returns when the records are acknowledged.

    Raises:
        ConfigError: A setting is missing, or another agent uses the same folder.
    """
    if not interval_s > 0:
        raise ConfigError(f'interval "{interval_s}" is not a positive number of seconds')
    with Agent(settings, name, "metrics", stop) as agent:
        metrics = HostMetrics(service, env, host or _host(settings), settings.agent_batch_records, attributes)
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
