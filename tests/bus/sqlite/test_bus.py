"""What the SQLite adapter promises beyond the port: files, processes, and how it asks SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bus import open_bus
from bus.sqlite.bus import SqliteBus
from bus.sqlite.file import connect, prepare
from bus.sqlite.reader import _HEADERS, _MESSAGES
from contracts.errors import BusError, ConfigError
from contracts.messages import Message
from contracts.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def settings() -> Settings:
    return load_settings(_env_file=None)


def run(program: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_commit_is_synced_before_it_returns(tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus:
        writer = bus._writer._connection
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


def test_freed_pages_can_be_given_back_and_are_not_overwritten_with_zeros(tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus:
        writer = bus._writer._connection
        assert writer.execute("PRAGMA auto_vacuum").fetchone() == (2,), "INCREMENTAL"
        assert writer.execute("PRAGMA secure_delete").fetchone() == (0,)


@pytest.mark.parametrize("statement", [_MESSAGES, _HEADERS])
def test_a_read_is_one_walk_along_the_primary_key(statement: str, tmp_path: Path) -> None:
    prepare(tmp_path / "bus.db")
    with contextlib.closing(connect(tmp_path / "bus.db", writes=False)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (0, 1, 1)).fetchall()
    assert [step[3] for step in plan] == ["SEARCH messages USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"]


def test_the_partition_of_a_key_is_the_same_in_every_process_and_release(tmp_path: Path) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", load_settings(_env_file=None, bus_partitions=16))) as bus:
        keys = ("", "default/agent", "default/key:1", "ключ", "\ud800")
        assert [bus.partition_for("t", key) for key in keys] == [4, 7, 10, 0, 8]


def test_headers_may_hold_lone_surrogates(tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus:
        bus.append("t", "k", [Message(b"1", {"x": "\ud800"})])
        with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
            assert reader.headers(1)[0].headers == {"x": "\ud800"}


def test_a_message_that_is_not_bytes_harms_only_its_own_append(tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus:
        with pytest.raises(TypeError, match="must be bytes"):
            bus.append("t", "k", [Message("text")])  # type: ignore[arg-type]  # what a careless caller does
        assert list(bus.append("t", "k", [Message(b"1")])) == [0]


@pytest.mark.parametrize("topic", ["", "a b", "a/b", "ä", "x" * 250])
def test_a_topic_name_that_kafka_would_refuse_is_refused(topic: str, tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus, pytest.raises(ValueError, match="topic"):
        bus.append(topic, "k", [Message(b"1")])


@pytest.mark.parametrize("url", ["", "sqlite:", "sqlite:///", "amqp://host:5672", "/tmp/bus.db", "sqlite://bus.db"])
def test_a_url_that_is_not_understood_says_what_to_write(url: str, settings: Settings) -> None:
    with pytest.raises(ConfigError) as caught:
        open_bus(url, settings)
    assert "sqlite:///path/to/bus.db" in caught.value.hint


def test_a_path_may_hold_any_character(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "new" / "50% ?mode=ro#1 ü"
    with contextlib.closing(open_bus(f"sqlite:///{folder}/bus.db", settings)) as bus:
        bus.append("t", "k", [Message(b"1")])
        with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
            assert len(reader.poll(9)) == 1
    assert (folder / "bus.db").exists()


def test_a_relative_path_keeps_its_meaning_when_the_process_moves(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(open_bus("sqlite:///bus.db", settings)) as bus:
        monkeypatch.chdir("/")
        assert list(bus.append("t", "k", [Message(b"1")])) == [0]
    assert (tmp_path / "bus.db").stat().st_mode & 0o077 == 0, "nobody else may read what was sent"


def test_a_file_that_is_not_sqlite_is_refused_and_left_alone(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    path.write_bytes(b"dear diary, " * 1000)
    with pytest.raises(ConfigError, match="is not a SQLite file") as caught:
        SqliteBus(path, settings)
    assert "HEADWATER_BUS_URL" in caught.value.hint
    assert path.read_bytes() == b"dear diary, " * 1000


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE cookies(name TEXT)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="not a bus"):
        SqliteBus(path, settings)
    assert path.read_bytes() == before


def test_a_bus_of_another_version_is_refused_with_what_to_do(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    SqliteBus(path, settings).close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(ConfigError, match="version 2, this is version 1") as caught:
        SqliteBus(path, settings)
    assert "release that wrote it" in caught.value.hint


def test_a_folder_in_the_place_of_the_file_is_a_config_error(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        SqliteBus(tmp_path, settings)


def test_a_file_in_the_place_of_the_folder_is_a_config_error(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be opened"):
        SqliteBus(tmp_path / "file" / "bus.db", settings)


def test_a_creation_that_was_cut_short_is_finished_by_the_next(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    with contextlib.closing(SqliteBus(path, settings)) as bus:
        assert list(bus.append("t", "k", [Message(b"1")])) == [0]


def test_many_may_create_the_same_bus_and_topic_at_once(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"

    def open_and_append(number: int) -> int:
        with contextlib.closing(SqliteBus(path, settings)) as bus:
            return bus.append("t", "k", [Message(b"%d" % number)])[0]

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(open_and_append, range(6))) == list(range(6))


def test_a_file_that_was_removed_takes_no_appends(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(SqliteBus(path, settings)) as bus:
        bus.append("t", "k", [Message(b"1")])
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(BusError, match="removed or replaced"):
            bus.append("t", "k", [Message(b"2")])


AFTER_A_FORK = """
import os, sys
from bus.sqlite.bus import SqliteBus
from contracts.errors import BusError
from contracts.messages import Message
from contracts.settings import load_settings
bus = SqliteBus(sys.argv[1], load_settings(_env_file=None))
bus.append("t", "k", [Message(b"1")])
reader = bus.reader("t", 0, 0)
child = os.fork()
if child == 0:
    for call in (lambda: bus.append("t", "k", [Message(b"2")]), lambda: bus.extents("t"), lambda: reader.poll(1)):
        try:
            call()
        except BusError as error:
            assert "fork" in str(error), error
        else:
            os._exit(1)
    reader.close()
    bus.close()
    again = SqliteBus(sys.argv[1], load_settings(_env_file=None))
    again.append("t", "k", [Message(b"3")])
    again.close()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
print(list(bus.append("t", "k", [Message(b"4")])))
bus.close()
"""


def test_a_bus_carried_across_a_fork_says_so_and_the_parents_goes_on(tmp_path: Path) -> None:
    assert run(AFTER_A_FORK, tmp_path / "bus.db") == "[2]"


READS = """
import sys
from bus.sqlite.bus import SqliteBus
from contracts.settings import load_settings
bus = SqliteBus(sys.argv[1], load_settings(_env_file=None))
print([message.payload for index in bus.partitions("t") for message in bus.reader("t", index, 0).poll(9)])
"""


def test_another_process_reads_while_this_one_has_the_bus_open(tmp_path: Path, settings: Settings) -> None:
    with contextlib.closing(SqliteBus(tmp_path / "bus.db", settings)) as bus:
        bus.append("t", "k", [Message(b"1")])
        assert run(READS, tmp_path / "bus.db") == "[b'1']"


def test_a_poll_leaves_no_read_transaction_behind(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "bus.db"
    with contextlib.closing(SqliteBus(path, settings)) as bus:
        bus.append("t", "k", [Message(b"x" * 100_000)] * 3)
        with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
            assert len(reader.poll(9, max_bytes=1)) == 1
            with contextlib.closing(connect(path, writes=True, busy_s=0)) as other:
                busy, in_log, folded = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, in_log, folded) == (0, 0, 0)
