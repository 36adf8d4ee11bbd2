"""The tiers while S3 is away: a run fails with that reason, nothing is half visible, and the next run goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import Tier
from contracts.settings import Settings
from headwater.commands.import_files import options_of
from headwater.commands.importing import import_files
from lakehouse.delta.table import Delta
from lakehouse.read.search import Search
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.archive.moves import archive_day, archived_days
from lakehouse.upkeep.compaction.compact import compact_closed
from lakehouse.upkeep.erasure.rows import remove_found
from scripts.engines import s3 as engines
from scripts.engines.s3 import S3
from tests import storage
from tests.conftest import needs
from tests.flows.running import World
from tests.headwater.commands import test_import as importing
from tests.headwater.erasing import QUICK, ask
from tests.headwater.erasing import bodies as found_of
from tests.headwater.erasing import filled, kept, places, run
from tests.lakehouse.upkeep.archiving import DAY, DAYS, ROWS, bodies, care_of, child, fill, stored
from tests.real.s3_lake import eventually
from tests.real.s3_proxy import Fault, FaultyS3
from tests.settings import settings

EVERY = ROWS * len(DAYS)
AWAY = "cannot be reached|does not answer in time"  # of a paused server the writer of files says either
TIMEOUTS = {"s3_query_timeout_s": 2, "s3_write_timeout_s": 3, "s3_connect_timeout_s": 1}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """One that may be killed and paused; it is running when a test begins."""
    needs(engines)
    with engines.running(home=tmp_path_factory.mktemp("s3")) as engine:
        yield engine


@pytest.fixture
def here(server: S3, tmp_path: Path) -> Settings:
    """A lake and an archive of the test's own."""
    url = f"s3://headwater/{tmp_path.name}"
    urls = {"lake_url": f"{url}/lake", "archive_url": f"{url}/archive"}
    return settings(data_dir=tmp_path / "data", **urls, **storage.keys(server.environment), **TIMEOUTS)


class Away:
    """Takes the server away when it is called; `back` brings it back."""

    def __init__(self, server: S3, how: str) -> None:
        self._node, self._how = server.node, how

    def __call__(self) -> None:
        self._node.kill() if self._how == "killed" else self._node.pause()

    def back(self) -> None:
        if not self._node.is_running:
            self._node.start()
        self._node.resume()


@pytest.fixture
def away(server: S3, request: pytest.FixtureRequest) -> Iterator[Away]:
    taken = Away(server, getattr(request, "param", "killed"))
    yield taken
    taken.back()


def before(real: Callable[..., Any], happens: Callable[[], None], turn: int = 1) -> Callable[..., Any]:
    """`real`, and something happens just before it is called for the `turn`-th time."""
    turns = iter(range(1, 1_000_000))

    def called(*given: Any, **named: Any) -> Any:
        if next(turns) == turn:
            happens()
        return real(*given, **named)

    return called


def everything(given: Settings) -> list[int]:
    """What a new reader finds of the days of `fill`: how many records, how often each, and as the account counts."""
    with contextlib.closing(care_of(given)) as care:
        found = bodies(Search(None, care.lake, given))
        return [len(found), *set(found.values()), sum(stored(care).values())]


@pytest.mark.parametrize("away", ["killed", "paused"], indirect=True)
def test_a_day_that_was_being_compacted_is_as_it_was_and_compacted_later(
    here: Settings, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(care_of(here)) as care:
        fill(care)
        with monkeypatch.context() as patch:
            patch.setattr(Delta, "replace", before(Delta.replace, away))
            with pytest.raises(StoreError, match=AWAY):
                compact_closed(care, "logs", DAY)
        away.back()
        assert eventually(lambda: everything(here)) == [EVERY, 1, EVERY]

        assert compact_closed(care, "logs", DAY).files_after == 1
        assert everything(here) == [EVERY, 1, EVERY]


@pytest.mark.parametrize("away", ["killed", "paused"], indirect=True)
@pytest.mark.parametrize("step", ["_copy", "_verify", "_switch"])
def test_a_day_that_was_moving_is_the_lake_s_and_moves_later(
    here: Settings, away: Away, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(care_of(here)) as care:
        fill(care)
        with monkeypatch.context() as patch:
            patch.setattr(archive, step, before(getattr(archive, step), away))
            with pytest.raises(StoreError, match=AWAY):
                archive_day(care, Kind.LOGS, DAY)
        away.back()
        assert eventually(lambda: everything(here)) == [EVERY, 1, EVERY]

        assert archive_day(care, Kind.LOGS, DAY).rows == ROWS
        assert archived_days(care, Kind.LOGS) == (DAY,)
        assert everything(here) == [EVERY, 1, EVERY]


def test_an_archive_that_may_not_be_written_is_said_and_the_lake_keeps_the_day(
    here: Settings, server: S3, capfd: pytest.CaptureFixture[str]
) -> None:
    """Moved by another process: the library holds the interpreter while it sends, and the double is in this one."""
    with FaultyS3(server.endpoint) as proxy:
        given = here.model_copy(update={"s3_endpoint": proxy.url})
        denied = Fault(status=403, code="AccessDenied")
        with contextlib.closing(care_of(given)) as care:
            fill(care)
            proxy.script = lambda method, path: denied if method != "GET" and "/archive/" in path else None
            assert child(given) == 1
            assert "S3 denies access" in capfd.readouterr().err
            search = Search(None, care.lake, given)
            assert (len(bodies(search, frozenset({Tier.LAKE}))), sum(stored(care).values())) == (EVERY, EVERY)

            proxy.script = lambda method, path: None
            assert child(given) == 0
            assert (archived_days(care, Kind.LOGS), len(bodies(search))) == ((DAY,), EVERY)


def test_an_erasure_stops_with_that_reason_and_is_resumed(
    here: Settings, server: S3, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        name: getattr(here, name) for name in ("lake_url", "archive_url", *storage.keys(server.environment), *TIMEOUTS)
    }
    filled(tmp_path, **values)
    world = World(tmp_path, **QUICK, **values)
    request = ask(world)
    with monkeypatch.context() as patch:
        patch.setattr("lakehouse.upkeep.erasure.erase.remove_found", before(remove_found, away, turn=3))
        with pytest.raises(StoreError, match=AWAY):
            run(world, request)
    away.back()

    run(world, request)

    world.reopen()
    assert (found_of(world), places(world)) == (kept(), [])
    world.connections.close()


def test_an_import_stops_with_that_reason_and_goes_on(
    here: Settings, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = importing.written(tmp_path / "old.ndjson", importing.lines(12_000))
    options, here = options_of("logs", "auto"), here.model_copy(update={"lake_commit_rows": 3000})
    with monkeypatch.context() as patch:
        patch.setattr(Delta, "add", before(Delta.add, away, turn=3))
        with pytest.raises(StoreError, match=AWAY):
            import_files(here, [path], importing.ACME, options)
    away.back()

    assert import_files(here, [path], importing.ACME, options) == 0
    assert sorted(record["attributes"]["n"] for record in importing.found(here)) == list(range(12_000))
