"""`python -m scripts.engines`: install the engines, or run them in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from pathlib import Path
from types import ModuleType

from scripts.engines import kafka, opensearch, s3
from scripts.engines.node import EngineError

ENGINES: dict[str, ModuleType] = {"kafka": kafka, "opensearch": opensearch, "s3": s3}
# Where each is looked for by habit; another port is taken when it is in use.
PORTS = {"kafka": 9092, "opensearch": 9200, "s3": 7070}


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0, or 1 when an engine could not be installed or started."""
    words = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # also where a script in the background has SIGINT ignored
        signal.signal(number, lambda *_: sys.exit(0))
    names = words.engines or list(ENGINES)
    try:
        if unknown := sorted(set(names) - ENGINES.keys()):
            raise EngineError(f"no engine is called {unknown[0]!r}; there are {', '.join(ENGINES)}")
        if words.action == "install":
            install(names)
        else:
            up(names, brokers=words.brokers, home=words.home)
    except EngineError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 1
    return 0


def install(names: list[str]) -> None:
    """Install those that can run here; say why the others cannot."""
    for name in names:
        reason = ENGINES[name].missing()
        print(f"{name}: not installed: {reason}" if reason else f"{name}: {ENGINES[name].install()}", flush=True)


def up(names: list[str], *, brokers: int, home: Path | None) -> None:
    """Start the engines, print what to export, and wait for a signal.

    Raises:
        EngineError: One of them cannot run here or did not start; none is left running.
    """
    for name in names:
        if reason := ENGINES[name].missing():
            raise EngineError(f"{name} cannot run here: {reason}; name the others: engines up {' '.join(ENGINES)}")
    with contextlib.ExitStack() as stack:
        folder = home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headwater-engines-")))
        environment: dict[str, str] = {}
        for name in names:
            print(f"engines: starting {name}", file=sys.stderr, flush=True)
            environment |= _start(stack, name, folder / name, brokers)
        print(f"engines: ready, with data and logs in {folder}; Ctrl-C stops them", file=sys.stderr, flush=True)
        for key, value in environment.items():
            print(f"export {key}={value}", flush=True)
        while True:
            signal.pause()


def _start(stack: contextlib.ExitStack, name: str, home: Path, brokers: int) -> dict[str, str]:
    if name == "kafka":
        cluster = stack.enter_context(kafka.running(home=home, port=PORTS[name], brokers=brokers))
        return {"HEADWATER_BUS_URL": cluster.url}
    if name == "opensearch":
        return {"HEADWATER_HOT_URL": stack.enter_context(opensearch.running(home=home, port=PORTS[name])).url}
    return stack.enter_context(s3.running(home=home, port=PORTS[name])).environment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="engines", description="Real engines on loopback ports, for tests and trials."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action, text in (("install", "fetch them into the cache"), ("up", "run them until Ctrl-C")):
        command = actions.add_parser(action, help=text)
        command.add_argument("engines", nargs="*", metavar="ENGINE", help=f"of {', '.join(ENGINES)} (all)")
        if action == "up":
            command.add_argument("--brokers", type=int, choices=(1, 3), default=1, help="of Kafka (1)")
            command.add_argument(
                "--home", type=Path, help="keep data and logs in this folder; default: a temporary one"
            )
    return parser


if __name__ == "__main__":
    sys.exit(main())
