"""Command line: `python -m flows [-w N] [-i PROCESS -a ADDRESSES]` -> all flows; settings from the environment."""

from __future__ import annotations

import argparse
import sys

from contracts.settings import load_settings
from flows.embedded import run


def arguments() -> argparse.Namespace:
    """Named as the engine names them."""
    parser = argparse.ArgumentParser(prog="python -m flows", description="Run all flows: bus -> hot store and lake.")
    parser.add_argument("-w", "--workers", type=int, help="workers of this process (HEADWATER_FLOW_WORKERS)")
    parser.add_argument("-i", "--process-id", type=int, help="place of this process among the addresses, from 0")
    parser.add_argument(
        "-a", "--addresses", help='of all processes: "host:2101;host:2102"; start and stop them together'
    )
    given = parser.parse_args()
    if (given.process_id is None) != (given.addresses is None):
        parser.error("--process-id and --addresses go together")
    if given.addresses is not None and not 0 <= given.process_id < len(given.addresses.split(";")):
        parser.error(f"--process-id {given.process_id} is not the place of one of the addresses, counted from 0")
    return given


if __name__ == "__main__":
    given = arguments()
    settings = load_settings(**({} if given.workers is None else {"flow_workers": given.workers}))
    sys.exit(run(settings, given.process_id, given.addresses.split(";") if given.addresses else None))
