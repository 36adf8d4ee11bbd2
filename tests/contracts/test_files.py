"""Files that are replaced as a whole: what a reader sees while and after a write fails."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from contracts.files import replace_file, write_all


def test_the_new_bytes_are_there_with_the_rights_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old and longer")
    replace_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_bytes_and_no_second_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    replace_file(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("contracts.files.os.fsync", full)
        with pytest.raises(OSError, match="no space"):
            replace_file(path, b"new")

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_half_written_gives_the_next_file_neither_bytes_nor_rights(tmp_path: Path) -> None:
    left = tmp_path / ".keys.json.new"
    left.write_bytes(b"half of a much longer file")
    left.chmod(0o666)
    replace_file(tmp_path / "keys.json", b"whole")

    assert (tmp_path / "keys.json").read_bytes() == b"whole"
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_many_writers_of_a_shared_file_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    contents = [bytes([65 + number]) * 200_000 for number in range(8)]
    threads = [threading.Thread(target=replace_file, args=(path, each), kwargs={"shared": True}) for each in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_all_bytes_are_written_where_the_kernel_takes_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr("contracts.files.os.write", lambda descriptor, data: write(descriptor, data[:3]))
        write_all(writing, b"ten bytes.")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b"ten bytes."
