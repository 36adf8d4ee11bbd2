"""Locks between processes: one holder, known by its note, and free when the holder ends in any way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.locks import is_locked, lock, locked, read_note, try_lock, write_note

HOLD = """
import sys, pathlib, time
from contracts.locks import try_lock, write_note
held = try_lock(pathlib.Path(sys.argv[1]))
write_note(held, b"the other process")
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            yield process
        finally:
            process.kill()


def test_a_lock_of_another_process_is_refused_seen_and_free_after_its_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    assert not path.exists(), "a look makes no file"

    with held_elsewhere(path) as process:
        assert try_lock(path) is None
        assert is_locked(path)
        assert read_note(path) == b"the other process"
        process.send_signal(signal.SIGKILL)
        process.wait()

        assert not is_locked(path)
        mine = try_lock(path)
    assert mine is not None
    write_note(mine, b"me")
    assert read_note(path) == b"me"
    os.close(mine)


def test_a_lock_that_waits_is_given_when_the_holder_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = lock(path)
    got = threading.Event()

    def second() -> None:
        with locked(path):
            got.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert is_locked(path)
    assert not got.is_set()
    os.close(first)
    thread.join(30)
    assert got.is_set()
    assert not is_locked(path)


def test_a_refused_lock_leaves_no_descriptor_open(tmp_path: Path) -> None:
    held = lock(tmp_path / "lock")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        assert try_lock(tmp_path / "lock") is None
        assert is_locked(tmp_path / "lock")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    os.close(held)
