"""The walk: lines of nine programs in nine files -> agent -> `headwater up` -> as many answers, once each, everywhere.

The scenario for any mix of engines; a stack's settings say which. Used here and in `tests/real`.
"""

from __future__ import annotations

import collections
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from contracts.tenants import Role
from tests import children
from tests.e2e.stack import Stack, account, pages
from tests.samples.lines import write_files
from tests.samples.sources import DATA
from tests.waiting import until

LINES = 600  # of each file

Counted = collections.Counter[tuple[str, str]]  # of (service, body)

# A reader of its own: it knows nothing of Headwater, and is not in its folder.
PLAIN_READER = """
import json, sys
from deltalake import DeltaTable, QueryBuilder
table = DeltaTable(sys.argv[1], storage_options=json.loads(sys.argv[2]))
for batch in QueryBuilder().register("logs", table).execute("SELECT service, body FROM logs"):
    columns = [batch.column(index).to_pylist() for index in range(2)]
    for row in zip(*columns):
        print(json.dumps(row))
"""


def lines_of(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", errors="replace")
    return [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]


@contextlib.contextmanager
def up(folder: Path, **settings: Any) -> Iterator[Stack]:
    """`headwater up` on `folder`, ready; with `settings` over the defaults. It ends well, or the test fails."""
    stack = Stack(folder, **settings)
    port = ("--port", str(stack.port))
    stack.define("up", "headwater", ["up", "--no-batch", "--data-dir", str(stack.settings.data), *port])
    stack.start("up")
    try:
        until(lambda: "everything is ready" in stack.log("up"), "everything being ready")
        stack.wait_ready()
        yield stack
        assert stack.stop("up") == 0, stack.log("up")
    except AssertionError as error:
        raise AssertionError(f"{error}\n{stack.log('up')}") from error
    finally:
        stack.close()


def ship(stack: Stack, path: Path) -> None:
    """`headwater agent logs` over one file, until it has nothing left to say."""
    environment = {
        "HEADWATER_INGEST_URL": f"http://127.0.0.1:{stack.port}",
        "HEADWATER_API_KEY": stack.keys[Role.INGEST],
        "HEADWATER_AGENT_DIR": str(stack.folder / "agent"),
        "HEADWATER_AGENT_PARTIAL_LINE_S": "0.5",
    }
    words = ("agent", "logs", "--path", path, "--exit-when-idle", "--service", path.stem, "--env", "walk")
    done = children.run("headwater", *words, env=environment, loads=["headwater.commands.shipping"])
    assert done.returncode == 0, done.stderr[-2000:]


def landed(stack: Stack, count: int) -> bool:
    with stack.client() as client:
        entry = account(client)
    return bool(entry) and entry["visible"] == count and entry["in_flight"] == 0 and entry["difference"] == 0


def found(stack: Stack) -> Counted:
    """Every record of the searches' pages."""
    with stack.client() as client:
        return collections.Counter((record["service"], record["body"]) for record in pages(client))


def nine_files(folder: Path) -> list[Path]:
    """Of our own making."""
    return write_files(folder / "lines", LINES)


def public_files(_: Path) -> list[Path]:
    """Of real systems, 26,000 lines."""
    return [*sorted(DATA.glob("loghub/*/*_2k.log")), DATA / "access_log" / "apache_logs"]


def walk(stack: Stack, files: list[Path]) -> Counted:
    """Ship all files twice; each line must be found once, both times. What was shipped."""
    truth: Counted = collections.Counter((path.stem, line) for path in files for line in lines_of(path))
    count = truth.total()
    assert (len(files), count) in ((9, 9 * LINES), (9, 26_000))
    for turn in range(2):
        for path in files:
            ship(stack, path)
        until(lambda: landed(stack, count), f"{count} records in the lake (turn {turn})")
        assert found(stack) == truth
    return truth


def read_plainly(url: str, options: Mapping[str, str], folder: Path) -> Counted:
    """The Delta table at `url` by the library alone, in a process that sees nothing of ours."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN_READER, url, json.dumps(dict(options))],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = (json.loads(line) for line in done.stdout.splitlines())
    return collections.Counter((service, body) for service, body in rows)
