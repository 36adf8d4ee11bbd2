"""Agents: files, standard input and this machine -> disk buffer -> HTTP.

Agents reach the rest of the project only by HTTP.
"""

from __future__ import annotations

from agents.counters import Status, read_status
from agents.run import run_host, run_logs, until_told
from agents.tail import FileOptions

__all__ = ["FileOptions", "Status", "read_status", "run_host", "run_logs", "until_told"]
