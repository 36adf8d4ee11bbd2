"""Command line: `python -m flows` -> every flow in one process, settings from the environment."""

from __future__ import annotations

import sys

from contracts.settings import load_settings
from flows.embedded import run

if __name__ == "__main__":
    sys.exit(run(load_settings()))
