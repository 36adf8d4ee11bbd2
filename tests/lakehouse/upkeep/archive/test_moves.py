"""A day that moves to the archive: each record once at every instant, killed at any step, or refused with a reason."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder

from contracts.errors import ConfigError, StoreError
from contracts.messages import ERASED, Kind
from contracts.query import DEFAULT_TIERS, All, MetricQuery, RecordQuery, Tier
from contracts.records import DeadLetterRow, Row
from contracts.settings import Settings
from lakehouse.delta.notes import RETENTION
from lakehouse.delta.removal import remove
from lakehouse.lake.archive import MOVES
from lakehouse.read.search import Search
from lakehouse.upkeep.archive import copying
from lakehouse.upkeep.archive import moves as archive
from lakehouse.upkeep.archive.moves import archive_day, archive_table, archived_days, day_sql, remove_leftovers
from lakehouse.upkeep.care import Care
from tests.lakehouse.lake_samples import ACME, NOON_NS, OTHER, batch, event, metric
from tests.lakehouse.upkeep.archiving import DAY, DAYS, FAILPOINTS, ROWS, Reader, bodies, care_of, child, fill, stored
from tests.settings import settings

EVERY = ROWS * len(DAYS)


@pytest.fixture
def here(tmp_path: Path) -> Settings:
    return settings(data_dir=tmp_path)


@pytest.fixture
def care(here: Settings) -> Iterator[Care]:
    with contextlib.closing(care_of(here)) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def search(care: Care) -> Search:
    return Search(None, care.lake, care.settings)


def asked(search: Search, *tiers: Tier, start_ns: int | None = None, end_ns: int | None = None) -> Any:
    return search.records(ACME, RecordQuery(Kind.LOGS, All(), start_ns, end_ns, 1000), tiers or DEFAULT_TIERS)


def test_a_day_that_moved_is_answered_by_the_archive_and_is_gone_from_the_lake(care: Care, search: Search) -> None:
    before = bodies(search)
    moved = archive_day(care, Kind.LOGS, DAY)

    assert (moved.rows, moved.move, moved.files_before, moved.files_after) == (ROWS, 1, 1, 1)
    assert bodies(search) == before
    page = asked(search, *Tier)
    assert {tier: use.rows for tier, use in page.tiers.items()} == {"lake": ROWS, "archive": ROWS // 2}
    assert page.tiers[Tier.ARCHIVE].days == (DAY,)
    assert len(asked(search, Tier.ARCHIVE).records) == ROWS // 2
    assert archived_days(care, Kind.LOGS) == (DAY,)


def test_pages_hold_each_record_once_over_both_tiers(care: Care, search: Search) -> None:
    archive_day(care, Kind.LOGS, DAYS[1])
    found: list[str] = []
    query = RecordQuery(Kind.LOGS, All(), None, None, 7, newest_first=False)
    while True:
        page = search.records(ACME, query, frozenset(Tier))
        found += [record.fields["body"] for record in page.records]
        if page.next is None:
            break
        query = RecordQuery(Kind.LOGS, All(), None, None, 7, page.next, newest_first=False)
    assert len(found) == len(set(found)) == EVERY // 2


def test_what_was_not_asked_for_is_named_by_its_days_and_is_no_failure(care: Care, search: Search) -> None:
    assert Tier.ARCHIVE not in asked(search).tiers
    archive_day(care, Kind.LOGS, DAY)

    page = asked(search)
    assert (len(page.records), page.partial) == (ROWS, False)
    use = page.tiers[Tier.ARCHIVE]
    assert (use.rows, use.days, use.skipped, use.error) == (0, (DAY,), True, "")
    assert Tier.ARCHIVE not in asked(search, start_ns=NOON_NS + 10**12).tiers
    assert Tier.ARCHIVE not in asked(search, end_ns=NOON_NS).tiers


def test_the_archive_is_a_plain_delta_table(care: Care) -> None:
    archive_day(care, Kind.LOGS, DAY)
    builder = QueryBuilder().register("t", DeltaTable(f"{care.settings.archive}/logs"))
    answer = builder.execute("SELECT day, move, count(*) AS n FROM t GROUP BY day, move")
    rows = pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()

    assert rows == [{"day": DAY, "move": 1, "n": ROWS}]


def test_late_rows_of_a_moved_day_move_again(care: Care, search: Search) -> None:
    archive_day(care, Kind.LOGS, DAY)
    fill(care, first=100, days=1)
    assert len(bodies(search)) == EVERY + ROWS

    moved = archive_day(care, Kind.LOGS, DAY)
    assert (moved.rows, moved.move) == (ROWS, 2)
    assert (len(bodies(search)), archived_days(care, Kind.LOGS)) == (EVERY + ROWS, (DAY,))
    assert archive_day(care, Kind.LOGS, DAY).rows == 0


LETTER = DeadLetterRow(0, NOON_NS, b"\xff{", "bad", "not JSON", "parse", "logs", 0, 0, 0, "p", 1, "", 5)


@pytest.mark.parametrize(
    ("kind", "row"), [(Kind.METRICS, metric(0, 1.5)), (Kind.EVENTS, event(0)), (Kind.DEAD_LETTERS, LETTER)]
)
def test_every_kind_moves_whole(here: Settings, kind: Kind, row: Row) -> None:
    with contextlib.closing(care_of(here)) as care:
        writer = care.lake.writer(kind)
        writer.append([batch(row, offset=0, kind=kind)])
        writer.commit()
        before = copying.prints(care.table(kind.value), "TRUE")
        archive_day(care, kind, DAY)

        assert copying.prints(archive_table(care, kind), "TRUE") == before
        assert care.table(kind.value).files() == []
        assert {total.stored for total in care.lake.ledger(ACME) if total.kind is kind} == {1}


def test_metrics_and_services_count_the_archive_when_asked(care: Care, search: Search) -> None:
    writer = care.lake.writer(Kind.METRICS)
    writer.append([batch(metric(n, n), offset=n, kind=Kind.METRICS, received_ns=NOON_NS) for n in range(4)])
    writer.commit()
    archive_day(care, Kind.METRICS, DAY)
    archive_day(care, Kind.LOGS, DAY)
    query = MetricQuery("load", "sum", 10**9, NOON_NS, NOON_NS + 10**9, All())

    assert search.metrics(ACME, query).series == []
    found = search.metrics(ACME, query, frozenset(Tier))
    assert (found.series[0].points[0][1], found.tiers[Tier.ARCHIVE].rows, found.tiers[Tier.LAKE].rows) == (6.0, 4, 0)
    assert search.metrics(ACME, query, {Tier.ARCHIVE}).series == found.series
    services = search.services(ACME, NOON_NS, NOON_NS + 10**9, frozenset(Tier))
    assert (services.services[0].logs, services.tiers[Tier.ARCHIVE].rows) == (ROWS // 2, ROWS // 2)
    assert search.services(ACME, NOON_NS, NOON_NS + 10**9).tiers[Tier.ARCHIVE].skipped


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_killed_after_any_step_each_record_is_seen_once_and_the_next_run_completes(
    here: Settings, care: Care, search: Search, failpoint: str
) -> None:
    with Reader(here, EVERY) as reader:
        assert child(here, failpoint) == -signal.SIGKILL
        assert len(bodies(search)) == EVERY
        archive_day(care, Kind.LOGS, DAY)
        seen = reader.asked
        while reader.asked < seen + 2 and reader.is_alive():
            time.sleep(0.02)

    assert (reader.wrong, archived_days(care, Kind.LOGS)) == ([], (DAY,))
    assert (sum(stored(care).values()), len(bodies(search))) == (EVERY, EVERY)
    assert archive_table(care, Kind.LOGS).noted(MOVES) is None
    assert {file["partition.move"] for file in archive_table(care, Kind.LOGS).files()} == {1}


@pytest.mark.long
@pytest.mark.parametrize(("sabotage", "failpoint"), [("delete-first", archive.COPIED), ("verify-nothing", "")])
def test_a_move_that_gives_up_the_day_unverified_is_found_out(
    here: Settings, care: Care, search: Search, sabotage: str, failpoint: str
) -> None:
    child(here, failpoint, sabotage)

    assert len(bodies(search)) < EVERY
    assert sum(stored(care).values()) < EVERY


def test_a_copy_that_differs_is_refused_and_the_lake_keeps_the_day(
    care: Care, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copying._batches

    def one_short(*args: Any) -> Iterator[pa.RecordBatch]:
        for number, rows in enumerate(real(*args)):
            yield rows if number else rows[1:]

    with monkeypatch.context() as patch:
        patch.setattr(copying, "_batches", one_short)
        with pytest.raises(StoreError, match="is not equal: 29 rows instead of 30"):
            archive_day(care, Kind.LOGS, DAY)
    assert (len(bodies(search)), archived_days(care, Kind.LOGS)) == (EVERY, ())

    assert remove_leftovers(care, Kind.LOGS) == ROWS - 1
    assert remove_leftovers(care, Kind.LOGS) == 0
    assert archive_day(care, Kind.LOGS, DAY).move == 1
    assert len(bodies(search)) == EVERY


def test_rows_that_land_while_the_day_moves_are_moved_too(
    care: Care, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = archive._verify, iter((True, False))

    def verify(*given: Any) -> None:
        real(*given)
        if next(times):
            fill(care, first=100, days=1)

    monkeypatch.setattr(archive, "_verify", verify)
    assert archive_day(care, Kind.LOGS, DAY).rows == 2 * ROWS
    assert bodies(search) == bodies(search, frozenset({Tier.LAKE})) + bodies(search, frozenset({Tier.ARCHIVE}))
    assert len(bodies(search)) == EVERY + ROWS


@pytest.mark.parametrize("step", ["_copy", "_verify", "_switch"])
def test_of_two_moves_at_once_the_first_one_fails_and_does_no_harm(
    care: Care, search: Search, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real = getattr(archive, step)

    def interrupted(*given: Any) -> Any:
        monkeypatch.setattr(archive, step, real)
        archive_day(care, Kind.LOGS, DAYS[1])
        return real(*given)

    monkeypatch.setattr(archive, step, interrupted)
    with pytest.raises(StoreError, match="another move"):
        archive_day(care, Kind.LOGS, DAY)
    assert archived_days(care, Kind.LOGS) == (DAYS[1],)
    archive_day(care, Kind.LOGS, DAY)
    found = bodies(search)
    assert (len(found), set(found.values())) == (EVERY, {1})


def test_a_move_that_was_taken_over_unawares_deletes_no_file_of_the_other(
    care: Care, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = archive._delete_uncommitted

    def late(*given: Any) -> None:
        monkeypatch.setattr(archive, "_delete_uncommitted", real)
        archive_day(care, Kind.LOGS, DAY)
        real(*given)

    monkeypatch.setattr(archive, "_delete_uncommitted", late)
    with pytest.raises(StoreError, match="another move"):
        archive_day(care, Kind.LOGS, DAY)
    found = bodies(search)
    assert (len(found), set(found.values())) == (EVERY, {1})


def test_files_without_a_commit_of_a_move_that_was_killed_are_removed(here: Settings, care: Care) -> None:
    left = Path(here.archive) / "logs" / f"day={DAY}" / "move=1"
    left.mkdir(parents=True)
    for name in ("part-0.parquet", "part-1.parquet#1"):
        (left / name).write_bytes(b"half")
        os.utime(left / name, (time.time() - 1, time.time() - 1))
    archive_day(care, Kind.LOGS, DAY)
    assert {path.name for path in left.iterdir()} == {
        Path(file["path"]).name for file in archive_table(care, Kind.LOGS).files()
    }


@pytest.mark.parametrize("state", ["made anew", "of before"])
def test_a_lake_that_knows_nothing_of_the_days_in_the_archive_leaves_them_there(
    here: Settings, care: Care, state: str
) -> None:
    if state == "of before":
        shutil.copytree(here.lake, f"{here.lake}.before")
    archive_day(care, Kind.LOGS, DAY)
    rows = copying.prints(archive_table(care, Kind.LOGS), "TRUE")
    shutil.move(here.lake, f"{here.lake}.lost")
    with contextlib.closing(care_of(here)) as other:
        if state == "of before":
            shutil.move(f"{here.lake}.before", here.lake)
        else:
            fill(other)
        with pytest.raises(StoreError, match="another lake"):
            archive_day(other, Kind.LOGS, DAYS[1])
        with pytest.raises(StoreError, match="another lake"):
            remove_leftovers(other, Kind.LOGS)
        assert len(bodies(Search(None, other.lake, here), frozenset({Tier.LAKE}))) == EVERY
    shutil.rmtree(here.lake)
    shutil.move(f"{here.lake}.lost", here.lake)
    assert copying.prints(archive_table(care, Kind.LOGS), "TRUE") == rows


def test_what_is_removed_from_either_table_stays_in_the_account(care: Care, search: Search) -> None:
    before = stored(care)
    archive_day(care, Kind.LOGS, DAY)
    remove(care.table("logs"), f"tenant = 'acme' AND day = DATE '{DAYS[1]}'", ERASED)
    removed = remove(archive_table(care, Kind.LOGS), day_sql(DAY), RETENTION)

    assert removed == {ACME: ROWS // 2, OTHER: ROWS // 2}
    assert (stored(care), len(bodies(search))) == (before, EVERY - ROWS - ROWS // 2)
    (total,) = care.lake.ledger(ACME)
    assert (total.dropped, total.stored) == ({"erased": ROWS // 2, "retention": ROWS // 2}, ROWS // 2)
    assert remove(archive_table(care, Kind.LOGS), day_sql(DAY), RETENTION) == {}


def test_an_open_day_is_refused(care: Care) -> None:
    with pytest.raises(StoreError, match="not over"):
        archive_day(care, Kind.LOGS, care.today())


def test_an_archive_that_is_away_is_said_and_never_made_anew(here: Settings, care: Care, search: Search) -> None:
    archive_day(care, Kind.LOGS, DAY)
    shutil.move(here.archive, f"{here.archive}.away")
    with contextlib.closing(care_of(here)) as later:
        page = asked(Search(None, later.lake, here), *Tier)
        assert (len(page.records), page.partial) == (ROWS, True)
        assert "check that its folder is mounted" in page.tiers[Tier.ARCHIVE].error
        default = asked(Search(None, later.lake, here))
        assert (default.partial, default.tiers[Tier.ARCHIVE].skipped) == (False, True)
        with pytest.raises(StoreError, match="is missing at"):
            archive_day(later, Kind.LOGS, DAYS[1])
    assert not Path(here.archive).exists()
    shutil.move(f"{here.archive}.away", here.archive)
    assert len(bodies(search)) == EVERY


def test_an_archive_that_cannot_be_written_leaves_the_day_in_the_lake(
    here: Settings, care: Care, search: Search
) -> None:
    Path(here.archive).write_text("no folder")
    with pytest.raises(StoreError, match="archive"):
        archive_day(care, Kind.LOGS, DAY)
    assert len(bodies(search, frozenset({Tier.LAKE}))) == EVERY
    Path(here.archive).unlink()
    assert archive_day(care, Kind.LOGS, DAY).rows == ROWS


def test_the_lake_itself_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="as the lake is"):
        care_of(settings(data_dir=tmp_path, archive_url=str(tmp_path / "lake"))).lake.checkpoints(Kind.LOGS)
