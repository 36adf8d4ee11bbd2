"""`headwater agent`: the command line -> the agents of `agents/`, with an address and a key."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from rich.markup import escape

from contracts.errors import ConfigError
from headwater.console import err, out, size, table
from headwater.keyring import default_env

if TYPE_CHECKING:
    from pathlib import Path

    from agents import FileOptions, JournalInput, Status
    from contracts.settings import Settings


def _check_target(settings: Settings) -> None:
    missing = [
        name
        for name, value in (
            ("HEADWATER_INGEST_URL", settings.ingest_url),
            ("HEADWATER_API_KEY", settings.api_key.get_secret_value()),
        )
        if not value
    ]
    if not missing:
        return
    env = default_env(settings)
    hint = "the URL is that of `headwater up`, e.g. http://127.0.0.1:8080; a key: headwater keys create --role ingest"
    if env.exists():
        hint = (
            f"{env} holds the keys of this machine's tenant default: set HEADWATER_API_KEY to its HEADWATER_INGEST_KEY"
        )
        if "HEADWATER_INGEST_URL" in missing:
            hint += ", and HEADWATER_INGEST_URL e.g. to http://127.0.0.1:8080"
    raise ConfigError(f"the agent needs {' and '.join(missing)}", hint=hint)


def ship_logs(
    settings: Settings,
    paths: list[str],
    stdin: bool,
    service: str,
    env: str,
    host: str | None,
    name: str,
    until_idle: bool,
    files: FileOptions,
    multiline: str,
    timezone: str,
) -> int:
    """Run until SIGTERM or Ctrl-C, or until idle when asked.

    Raises:
        ConfigError: Nothing to read, a wrong pattern or zone, or no address or key.
    """
    if not paths and not stdin:
        raise ConfigError("nothing to read", hint="name files with --path '/var/log/*.log', or pipe into --stdin")
    _check_target(settings)
    import agents

    about = (service, env, host, name, until_idle)

    def run(stop: threading.Event) -> int:
        return agents.run_logs(settings, paths, stdin, *about, stop, files, multiline, timezone)

    return agents.until_told(run)


def ship_host(
    settings: Settings, interval_s: float, service: str, env: str, host: str | None, name: str, until_idle: bool
) -> int:
    """Run until SIGTERM or Ctrl-C, or measure once when asked.

    Raises:
        ConfigError: No address or key.
    """
    _check_target(settings)
    import agents

    about = (service, env, host, name, until_idle)
    return agents.until_told(lambda stop: agents.run_host(settings, interval_s, *about, stop=stop))


def ship_journald(settings: Settings, given: JournalInput, name: str, until_idle: bool) -> int:
    """Run until SIGTERM or Ctrl-C, or until idle when asked.

    Raises:
        ConfigError: No address or key, or no journalctl.
    """
    _check_target(settings)
    import agents

    return agents.until_told(lambda stop: agents.run_journald(settings, given, name, until_idle, stop))


def ship_config(settings: Settings, path: Path, until_idle: bool) -> int:
    """Run all inputs of the config at `path`, as `ship_logs`.

    Raises:
        ConfigError: The config is wrong; or no address or key.
    """
    import agents

    config = agents.load_config(path)
    _check_target(settings)
    return agents.until_told(lambda stop: agents.run_config(settings, config, until_idle, stop))


def check_config(path: Path, as_json: bool) -> int:
    """What the config at `path` would read; 1 if a source cannot be read.

    Raises:
        ConfigError: The config is wrong.
    """
    import agents

    found = agents.planned(agents.load_config(path))
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found], indent=2))
    else:
        rows = table("input", "source", "service", ">size", "state", title=f"what {path} reads")
        for each in found:
            state = f"[red]{escape(each.fault)}[/]" if each.fault else escape(each.notes or "ok")
            size_bytes = "" if each.size_bytes is None else size(each.size_bytes)
            rows.add_row(each.input, escape(each.source), escape(each.service), size_bytes, state)
        out.print(rows)
    return 1 if any(each.fault for each in found) else 0


def show_status(settings: Settings, as_json: bool) -> int:
    """The counters of every agent of this machine's agent folder; 1 when there is none."""
    import agents

    homes = sorted(settings.agent_home.glob("*"))
    found = [(status, _is_alive(status.pid)) for status in map(agents.read_status, homes) if status]
    if as_json:
        print(json.dumps([{**msgspec.to_builtins(status), "alive": alive} for status, alive in found], indent=2))
    elif not found:
        err.print(f"no agent has run in {settings.agent_home}")
    else:
        _show(found)
    return 0 if found else 1


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return pid > 0


def _show(found: Sequence[tuple[Status, bool]]) -> None:
    columns = (">files", ">read", ">sent", ">retried", ">set aside", ">unsent", ">buffer", ">behind", ">lag")
    rows = table("agent", "state", *columns, title="records, unless a unit says otherwise")
    for status, alive in found:
        state = status.state if alive or status.state == "stopped" else "[red]died[/]"
        counts = (status.files, status.read_lines, status.sent_records, status.retried, status.set_aside)
        sizes = (size(status.buffer_bytes), size(status.behind_bytes), f"{status.lag_s:.1f} s")
        rows.add_row(status.name, state, *(f"{count:,}" for count in (*counts, status.buffered_records)), *sizes)
    out.print(rows)
    for status, _ in found:
        if status.last_error:
            ago_s = max(0, time.time_ns() - status.last_error_ns) // 1_000_000_000
            out.print(f"[yellow]{status.name}[/]: {escape(status.last_error)} ({ago_s} s ago)")
