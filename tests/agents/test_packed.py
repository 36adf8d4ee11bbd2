"""Compressed files: known by their first bytes; the rest of a log that was compressed meanwhile is read, once."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from agents.packed import kind_of
from agents.tail import FileOptions
from contracts.settings import Settings
from tests.agents.server import Sink
from tests.agents.test_run import running
from tests.agents.test_tail import append
from tests.children import ROOT
from tests.waiting import until

Ship = Callable[..., int]
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "app.log"


def many(begin: int, end: int) -> list[str]:
    return [f"line {number} of a service" for number in range(begin, end)]


def pack(path: Path, to: str, suffix: str = "gz", age_s: int = 5) -> Path:
    """Compress `path` as logrotate does: the time of the text is kept, and the text is removed."""
    packed = path.with_name(to)
    packed.write_bytes(PACKERS[suffix](path.read_bytes()))
    when = path.stat().st_mtime - age_s
    os.utime(packed, (when, when))
    path.unlink()
    return packed


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_the_rest_of_a_log_that_was_rotated_and_compressed_while_away_is_read(
    sink: Sink, ship: Ship, log: Path, suffix: str, pattern: str
) -> None:
    append(log, *many(0, 100))
    ship(log.with_name(pattern))
    append(log, *many(100, 20_000))
    pack(log, f"app.log.1.{suffix}", suffix)
    append(log, "new")
    for _ in range(3):
        ship(log.with_name(pattern))
    assert sorted(sink.bodies()) == sorted([*many(0, 20_000), "new"])


@pytest.mark.parametrize("known", [1, 100])
def test_the_rest_of_a_copy_that_was_compressed_while_away_is_read(
    sink: Sink, ship: Ship, log: Path, known: int
) -> None:
    append(log, *many(0, known))
    ship(log)
    append(log, *many(known, 200))
    copy = log.with_name("app-20261130.log")
    copy.write_bytes(log.read_bytes())
    os.truncate(log, 0)
    append(log, "new")
    pack(copy, "app-20261130.log.gz")
    for _ in range(3):
        ship(log)
    assert sorted(sink.bodies()) == sorted([*many(0, 200), "new"])


@pytest.mark.parametrize("pattern", ["app.log", "app.log*"])
def test_all_files_that_were_rotated_while_away_are_read(sink: Sink, ship: Ship, log: Path, pattern: str) -> None:
    for number in range(3):  # long before the agent: not read
        append(log, f"ancient {number}")
        pack(log, f"app.log.{9 - number}.gz", age_s=1000 - number)
    append(log, *many(0, 100))
    ship(log.with_name(pattern))
    append(log, *many(100, 200))
    pack(log, "app.log.3.gz", age_s=30)
    append(log, *many(200, 300))
    pack(log, "app.log.2.zst", "zst", age_s=20)
    append(log, *many(300, 400))
    pack(log, "app.log.1.gz", age_s=10)
    append(log, *many(400, 500))
    for _ in range(2):
        ship(log.with_name(pattern))
    assert sorted(sink.bodies()) == sorted(many(0, 500))


def test_a_log_that_is_compressed_while_the_agent_runs_is_read_once(
    sink: Sink, settings: Settings, ship: Ship, log: Path
) -> None:
    with running(settings, log.with_name("*")):
        append(log, *many(0, 100))
        until(lambda: len(sink.bodies()) == 100)
        append(log, "last")
        log.rename(log.with_name("app.log.1"))
        append(log, "new")
        until(lambda: len(sink.bodies()) == 102)
        pack(log.with_name("app.log.1"), "app.log.1.gz")
        append(log, "end")
        until(lambda: "end" in sink.bodies())
    ship(log.with_name("*"))
    assert sorted(sink.bodies()) == sorted([*many(0, 100), "last", "new", "end"])


def test_a_copy_that_is_compressed_while_the_agent_runs_is_read_once(
    sink: Sink, settings: Settings, ship: Ship, log: Path
) -> None:
    append(log, *many(0, 100))
    with running(settings, log.with_name("*")):
        until(lambda: len(sink.bodies()) == 100)
        append(log, "last")
        copy = log.with_name("app.log.1")
        copy.write_bytes(log.read_bytes())
        os.truncate(log, 0)
        append(log, "new")
        until(lambda: len(sink.bodies()) == 102)
        pack(copy, "app.log.1.gz")
        append(log, "end")
        until(lambda: "end" in sink.bodies())
    for _ in range(2):
        ship(log.with_name("*"))
    assert sorted(sink.bodies()) == sorted([*many(0, 100), "last", "new", "end"])


def test_a_compressed_file_is_known_by_its_bytes_and_not_by_its_name(sink: Sink, ship: Ship, log: Path) -> None:
    log.write_bytes(gzip.compress(b"no\n"))
    append(log.with_name("text.gz"), "one")
    log.with_name("archive.log").write_bytes(b"PK\x03\x04" + bytes(100))
    ship(log.with_name("*"))
    assert sink.bodies() == ["one"]


def test_a_compressed_file_that_continues_nothing_is_read_once_if_a_pattern_names_it(
    sink: Sink, ship: Ship, log: Path
) -> None:
    log.with_name("old.log.gz").write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\nthree"))
    for _ in range(2):
        ship(log.with_name("*.log*"))
    assert sink.bodies() == []
    for _ in range(2):
        ship(log.with_name("*.gz"))
    assert sink.bodies() == ["one", "two", "three"]


def test_from_end_skips_compressed_files_that_stand_there(sink: Sink, ship: Ship, log: Path) -> None:
    log.with_name("old.log.gz").write_bytes(gzip.compress(b"one\n"))
    for begin in ("end", "start"):
        ship(log.with_name("*.gz"), files=FileOptions(begin=begin))
    assert sink.bodies() == []


def test_a_damaged_file_is_read_as_far_as_it_goes_and_said(
    sink: Sink, ship: Ship, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    append(log, *many(0, 100))
    ship(log)
    append(log, *many(100, 50_000))
    packed = pack(log, "app.log.1.gz")
    os.truncate(packed, packed.stat().st_size // 2)
    for _ in range(2):
        ship(log)
    found = sink.bodies()
    assert 100 < len(found) < 50_000
    assert found[:-1] == many(0, len(found) - 1)
    assert capsys.readouterr().err.count("is damaged") == 1


def test_a_file_that_grows_a_thousandfold_is_read_in_bounded_memory(sink: Sink, log: Path) -> None:
    text = b"x" * 1000 + b"\n"
    with gzip.open(log.with_name("bomb.gz"), "wb", compresslevel=1) as file:
        for _ in range(100):
            file.write(text * 1000)
    code = (
        "import sys\n"
        "from agents.packed import PackedFile\n"
        "from agents.sources import OpenFiles, PlainFile\n"
        "files = OpenFiles(8)\n"
        "file = PackedFile(PlainFile(files, sys.argv[1], files.open(sys.argv[1])), 'gzip')\n"
        "at = 0\n"
        "while data := file.read_at(1 << 18, at):\n"
        "    at += len(data)\n"
        "print(at, *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])\n"
    )
    command = [sys.executable, "-c", code, str(log.with_name("bomb.gz"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    size, peak_kib = map(int, done.stdout.split())
    assert size == 100 * 1000 * len(text)
    assert peak_kib < 100 << 10


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (gzip.compress(b"", mtime=0), "gzip"),
        (bz2.compress(b""), "bz2"),
        (bz2.compress(b"x"), "bz2"),
        (lzma.compress(b""), "xz"),
        (zstandard.ZstdCompressor().compress(b""), "zstd"),
        (b"BZh is a text", ""),
        (b"BZh9 as well", ""),
        (b"PK\x03\x04....", "other"),
        (b"", ""),
    ],
)
def test_the_kind_is_told_by_the_first_bytes(begin: bytes, kind: str) -> None:
    assert kind_of(begin[:8]) == kind
