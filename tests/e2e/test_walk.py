"""The walk: 26,000 real lines in nine files -> agent -> `headwater up` -> 26,000 answers, once each, everywhere."""

from __future__ import annotations

import collections
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from deltalake import DeltaTable

from contracts.tenants import Role
from tests.e2e.stack import ROOT, Stack, account, pages, until

DATA = ROOT.parent / "shared" / "data"
FILES = [*sorted(DATA.glob("loghub/*/*_2k.log")), DATA / "access_log" / "apache_logs"]

pytestmark = [
    pytest.mark.skipif(len(FILES) != 9 or not FILES[-1].exists(), reason="../shared/data is not there"),
    pytest.mark.timeout(300),
]


def lines_of(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", errors="replace")
    return [line.removesuffix("\r") for line in text.split("\n") if line.removesuffix("\r")]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    port = ("--port", str(stack.port))
    stack.define("up", "headwater", ["up", "--no-batch", "--data-dir", str(stack.settings.data), *port])
    stack.start("up")
    stack.wait_ready()
    yield stack
    stack.stop("up")
    stack.close()


def ship(stack: Stack, path: Path) -> None:
    """`headwater agent logs` over one file, until it has nothing left to say."""
    command = [sys.executable, "-m", "headwater", "agent", "logs", "--path", str(path), "--exit-when-idle"]
    environment = {
        **os.environ,
        "HEADWATER_INGEST_URL": f"http://127.0.0.1:{stack.port}",
        "HEADWATER_API_KEY": stack.keys[Role.INGEST],
        "HEADWATER_AGENT_DIR": str(stack.folder / "agent"),
        "HEADWATER_AGENT_PARTIAL_LINE_S": "0.5",
    }
    done = subprocess.run(
        [*command, "--service", path.stem, "--env", "walk"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def landed(stack: Stack, count: int) -> bool:
    with stack.client() as client:
        entry = account(client)
    return bool(entry) and entry["visible"] == count and entry["in_flight"] == 0 and entry["difference"] == 0


def bodies_in_files_of_the_lake(stack: Stack) -> collections.Counter[tuple[str, str]]:
    """Read by plain DuckDB from the files that the Delta log names."""
    files = DeltaTable(str(Path(stack.settings.lake) / "logs")).file_uris()
    rows = duckdb.connect().read_parquet(files).project("service, body").fetchall()
    return collections.Counter((service, body) for service, body in rows)


def test_every_line_of_nine_real_files_is_found_once_and_again_after_shipping_them_twice(up: Stack) -> None:
    truth = collections.Counter((path.stem, line) for path in FILES for line in lines_of(path))
    assert truth.total() == 26_000

    for turn in range(2):
        for path in FILES:
            ship(up, path)
        until(lambda: landed(up, 26_000), 60, f"26,000 records in the lake (turn {turn})")
        with up.client() as client:
            found = collections.Counter((record["service"], record["body"]) for record in pages(client))
        assert found == truth

    assert up.stop("up") == 0
    assert bodies_in_files_of_the_lake(up) == truth
