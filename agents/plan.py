"""Plan: a config -> what an agent of this machine would read now, without reading it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from agents.config import Config, LogInput
from agents.containers import container_of
from agents.globs import Globs
from agents.tail import UNKNOWN_SERVICE

MOST_FILES = 10_000


@dataclass(frozen=True, slots=True)
class Planned:
    """One source.

    Attributes:
        input: Where it stands in the config, as "logs 1".
        source: Path of a file, or what else is read.
        service: Of its records, as far as it is known before they are read.
        size_bytes: None if it is no file.
        fault: Why it cannot be read; "" if it can.
        notes: What else is worth knowing, as the container of a file.
    """

    input: str
    source: str
    service: str
    size_bytes: int | None = None
    fault: str = ""
    notes: str = ""


def planned(config: Config) -> list[Planned]:
    """What each input would read; an input of files that matches none has one line with a fault."""
    lines: list[Planned] = []
    owned: set[tuple[int, int]] = set()
    for number, given in enumerate(config.logs, 1):
        lines += _files(f"logs {number}", given, owned)
    for number, journal in enumerate(config.journald, 1):
        program = journal.options().program
        fault = "" if shutil.which(program) else f"{program} is not on this machine"
        source = f"journal of {journal.directory or 'this machine'}"
        units = f"units {', '.join(journal.unit)}" if journal.unit else "all units"
        lines.append(Planned(f"journald {number}", source, journal.service or "by unit", fault=fault, notes=units))
    if config.metrics:
        every = f"every {config.metrics.interval:g} s"
        lines.append(Planned("metrics", "this machine", config.metrics.service or "host", notes=every))
    return lines


def _files(name: str, given: LogInput, owned: set[tuple[int, int]]) -> list[Planned]:
    lines: list[Planned] = []
    for path in sorted(Globs(given.path, given.exclude).paths())[:MOST_FILES]:
        try:
            status = os.stat(path)  # noqa: PTH116 - the path is text, as everywhere in the agent
        except OSError as error:
            lines.append(Planned(name, path, given.service, fault=error.strerror or str(error)))
            continue
        container = container_of(path)
        notes = ", ".join(f"{key}={value}" for key, value in container.attributes.items())
        identity = (status.st_dev, status.st_ino)
        if identity in owned:
            notes = "the same file as one above: it is read there"
        owned.add(identity)
        fault = "" if os.access(path, os.R_OK) else "permission denied"
        service = given.service or container.service or UNKNOWN_SERVICE
        lines.append(Planned(name, path, service, status.st_size, fault, notes))
    return lines or [Planned(name, ", ".join(given.path), given.service, fault="no file matches")]
