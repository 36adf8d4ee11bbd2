"""`headwater doctor`: this machine and the data folder -> a verdict for every check, with a remedy."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.text import Text

from contracts.errors import HeadwaterError
from headwater.console import out, table
from headwater.doctor import lake as doctor_lake
from headwater.doctor import machine as doctor_machine
from headwater.doctor import stores as doctor_stores
from headwater.doctor.verdict import Level, Verdict

if TYPE_CHECKING:
    from contracts.settings import Settings

_STYLE = {Level.OK: ("✓", "green"), Level.WARN: ("!", "yellow"), Level.FAIL: ("✗", "bold red")}


def checks(settings: Settings) -> Iterator[tuple[str, Callable[[], Verdict]]]:
    """All checks by name, in the order in which a start needs the parts."""
    data = settings.data
    yield "Python", lambda: doctor_machine.python(platform.python_version_tuple())
    yield "data folder", lambda: doctor_machine.writable(data)
    yield "free disk", lambda: doctor_machine.free_disk(data)
    yield "fsync", lambda: doctor_machine.fsync(data)
    yield "clock", lambda: doctor_machine.clock(data)
    yield "open files", doctor_machine.open_files
    yield "memory", doctor_machine.memory
    yield "settings", lambda: doctor_machine.environment(os.environ, type(settings).model_fields)
    yield "port", lambda: doctor_machine.port(data, settings.host, settings.port)
    yield "service", lambda: doctor_machine.service(data)
    yield "key file", lambda: doctor_stores.key_files(settings)
    yield "bus", lambda: doctor_stores.bus(settings)
    yield "hot store", lambda: doctor_stores.hot(settings)
    yield "lake", lambda: doctor_lake.lake(settings)
    yield "retention", lambda: doctor_lake.retention(settings)


def doctor(settings: Settings, as_json: bool) -> int:
    """Run all checks and print the verdicts; 1 if a check failed."""
    logging.disable()  # silences the engines' clients, as their errors are in the verdicts
    verdicts = {name: _run(check) for name, check in checks(settings)}
    failed = [name for name, verdict in verdicts.items() if verdict.level is Level.FAIL]
    if as_json:
        print(json.dumps({name: asdict(verdict) for name, verdict in verdicts.items()}, indent=2))
    else:
        _show(verdicts)
        out.print(_summary(verdicts))
    return 1 if failed else 0


def _run(check: Callable[[], Verdict]) -> Verdict:
    try:
        return check()
    except HeadwaterError as error:
        return Verdict(Level.FAIL, str(error), error.hint)
    except Exception as error:  # a check that breaks is a finding, and the other checks still run
        return Verdict(Level.FAIL, f"{type(error).__name__}: {error}", "run the command that needs this with --debug")


def _summary(verdicts: dict[str, Verdict]) -> str:
    named = {level: ", ".join(name for name, each in verdicts.items() if each.level is level) for level in Level}
    if named[Level.FAIL]:
        return f"[bold red]failed: {named[Level.FAIL]}[/]"
    if named[Level.WARN]:
        return f"[yellow]works, with warnings: {named[Level.WARN]}[/]"
    return "[green]all is well[/]"


def _show(verdicts: dict[str, Verdict]) -> None:
    rows = table("", "check", "finding")
    for name, verdict in verdicts.items():
        mark, style = _STYLE[verdict.level]
        finding = Text(verdict.finding)
        if verdict.advice:
            finding.append(f"\n→ {verdict.advice}", style=style)
        rows.add_row(Text(mark, style=style), name, finding)
    out.print(rows)
