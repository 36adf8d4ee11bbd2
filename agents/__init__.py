"""Agents: files, standard input, the journal and this machine -> disk buffer -> HTTP.

Agents reach the rest of the project only by HTTP.
"""

from __future__ import annotations

from agents.config import Config, JournalInput, load_config
from agents.counters import Status, read_status
from agents.plan import Planned, planned
from agents.run import run_config, run_host, run_journald, run_logs, until_told
from agents.tail import FileOptions

__all__ = [
    "Config",
    "FileOptions",
    "JournalInput",
    "Planned",
    "Status",
    "load_config",
    "planned",
    "read_status",
    "run_config",
    "run_host",
    "run_journald",
    "run_logs",
    "until_told",
]
