"""Output for the terminal: errors in one line with a hint, colours by severity, tables without boxes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from contracts.errors import HeadwaterError

WIDTH = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140  # columns; 140 for a pipe or a file

out = Console(highlight=False, width=WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)

# The first severity_number of each level, by the OpenTelemetry log model.
LEVELS = ((21, "FATAL", "bold white on red"), (17, "ERROR", "bold red"), (13, "WARN", "yellow"), (9, "INFO", "green"))


def print_error(error: HeadwaterError) -> None:
    err.print(Text.assemble(("error: ", "bold red"), str(error)))
    if error.hint:
        err.print(Text.assemble(("hint:  ", "bold"), error.hint))


def severity(number: int, text: str = "") -> Text:
    """A severity in its colour; shows the sender's own word if there is one."""
    for first, name, style in LEVELS:
        if number >= first:
            return Text((text or name).upper()[:5], style=style)
    return Text((text or ("DEBUG" if number >= 5 else "TRACE" if number else "-")).upper()[:5], style="dim")


def table(*columns: str, title: str = "") -> Table:
    """A table without lines; a column whose name starts with ">" is aligned right."""
    made = Table(
        title=title or None, box=None, pad_edge=False, title_justify="left", header_style="bold", padding=(0, 2, 0, 0)
    )
    for column in columns:
        made.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    return made


def is_terminal() -> bool:
    return sys.stdout.isatty()


def counted(count: int, one: str, many: str = "") -> str:
    """A number and its noun: 1 record, 2,000 records."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def size(count: float) -> str:
    """Bytes for people: 1.5 MiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def command() -> str:
    """The command to show in hints: "headwater" if that name is on the PATH, else the path that was called."""
    return "headwater" if shutil.which("headwater") or Path(sys.argv[0]).name != "headwater" else sys.argv[0]
