"""The agents' own command: arguments -> a running agent, or its status.

    python -m agents logs --path GLOB... [--stdin] --service S --env E
    python -m agents host --interval 10
    python -m agents journald [--unit UNIT]
    python -m agents run --config agent.toml
    python -m agents status

Needs HEADWATER_INGEST_URL and HEADWATER_API_KEY. Delivery: at least once, always with the same sequence numbers, so
that the platform can drop repeats and store each record exactly once.
"""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from agents.config import JournalInput, load_config
from agents.counters import read_status
from agents.run import run_config, run_host, run_journald, run_logs, until_told
from agents.tail import FileOptions
from contracts.errors import HeadwaterError
from contracts.settings import Settings, load_settings


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        if given.command == "status":
            return _print_status(settings, given.name)
        return until_told(lambda stop: _run(settings, given, stop))
    except HeadwaterError as error:
        print(f"agent: {error}" + (f" ({error.hint})" if error.hint else ""), file=sys.stderr)
        return 2


def _run(settings: Settings, given: argparse.Namespace, stop: threading.Event) -> int:
    if given.command == "run":
        return run_config(settings, load_config(given.config), given.exit_when_idle, stop)
    name = given.name or given.command
    about = (given.service, given.env, given.host, name, given.exit_when_idle, stop)
    if given.command == "logs":
        files = FileOptions(tuple(given.exclude), given.begin, given.encoding)
        return run_logs(settings, given.path, given.stdin, *about, files, given.multiline, given.timezone)
    if given.command == "journald":
        journal = JournalInput(
            unit=tuple(given.unit), begin=given.begin, service=given.service, env=given.env, host=given.host or ""
        )
        return run_journald(settings, journal, name, given.exit_when_idle, stop)
    return run_host(settings, given.interval, *about)


def _print_status(settings: Settings, name: str | None) -> int:
    homes = [settings.agent_home / name] if name else sorted(settings.agent_home.glob("*"))
    found = [status for status in map(read_status, homes) if status]
    if not found:
        print(f'agent: no agent has run in "{settings.agent_home}"', file=sys.stderr)
        return 1
    for status in found:
        print(msgspec.json.format(msgspec.json.encode(status), indent=2).decode())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m agents", description="Ship logs and host metrics to Headwater.")
    commands = parser.add_subparsers(dest="command", required=True)
    logs = commands.add_parser("logs", help="tail files and standard input")
    logs.add_argument("--path", nargs="+", action="extend", default=[], metavar="GLOB", help="files to tail")
    logs.add_argument("--stdin", action="store_true", help="read standard input as well")
    logs.add_argument("--exclude", action="append", default=[], metavar="GLOB", help="files not to tail; repeatable")
    begin = "where to begin in files that stand there at the first look: start (default) or end"
    logs.add_argument("--from", dest="begin", choices=("start", "end"), default="start", help=begin)
    logs.add_argument(
        "--multiline", default="auto", metavar="auto|none|REGEX", help="how lines are joined; REGEX begins a record"
    )
    logs.add_argument(
        "--timezone", default="", metavar="ZONE", help="zone of lines without one; default is this host's"
    )
    logs.add_argument("--encoding", default="auto", help="of the files: auto, utf-16, latin-1, gbk, shift_jis, ...")
    host = commands.add_parser("host", help="measure this machine")
    host.add_argument("--interval", type=float, default=10.0, metavar="S", help="seconds between measurements")
    journald = commands.add_parser("journald", help="read the journal of systemd")
    journald.add_argument("--unit", action="append", default=[], help="only this unit; repeatable")
    journald.add_argument("--from", dest="begin", choices=("start", "end"), default="start", help="of the first start")
    config = commands.add_parser("run", help="run all inputs of a config")
    config.add_argument("--config", type=Path, required=True, metavar="FILE")
    config.add_argument("--exit-when-idle", action="store_true", help="end when all is read and acknowledged")
    for command, service in ((logs, ""), (journald, ""), (host, "host")):
        command.add_argument("--service", default=service)
        command.add_argument("--env", default="")
        command.add_argument("--host", default=None, help="name of this machine; default is its hostname")
        command.add_argument("--exit-when-idle", action="store_true", help="end when all is read and acknowledged")
        command.add_argument("--name", default=None, help="folder and stream of this agent, for several side by side")
    status = commands.add_parser("status", help="print the counters of the agents of this folder")
    status.add_argument("--name", default=None)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
