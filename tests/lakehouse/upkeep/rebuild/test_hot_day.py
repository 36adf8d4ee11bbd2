"""Days rebuilt from lake and archive: the same answers, killed at any step, beside a running flow and readers."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.batches import Batch
from contracts.errors import ConfigError, StoreError
from contracts.failpoints import VARIABLE
from contracts.hot import Found, HotStore
from contracts.messages import ERASED, Kind
from contracts.query import All, Position, RecordQuery
from contracts.records import Row
from lakehouse.delta.removal import remove
from lakehouse.hot.tantivy import rebuild as hot_rebuild
from lakehouse.read.search import Search
from lakehouse.upkeep.archive.moves import archive_day, archive_table
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.imports.land import Import
from lakehouse.upkeep.policy.policy import Policy
from lakehouse.upkeep.rebuild import bus_order
from lakehouse.upkeep.rebuild.hot_day import days_to_rebuild, rebuild_hot
from lakehouse.upkeep.rebuild.lake_day import LakeDay
from tests import children
from tests.children import Child
from tests.lakehouse.hot.tantivy.test_writer import in_another_format
from tests.lakehouse.lake_samples import ACME, DAY_NS, NOON_NS, OTHER, batch, event, log, metric
from tests.lakehouse.upkeep import rebuild_child
from tests.settings import settings

DAY = dt.date(2026, 3, 4)
NEXT = dt.date(2026, 3, 5)
KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
POINTS = (hot_rebuild.BUILT, hot_rebuild.SWITCHED, hot_rebuild.UNMARKED, hot_rebuild.REMOVED)
KILLS = [*((point, "trusted") for point in POINTS), *((point, "dropped") for point in POINTS[:3])]
KILLS += [(hot_rebuild.SWITCHED, "forgotten")]


def care_of(folder: Path) -> Care:
    return Care(settings(data_dir=folder), lambda: NOON_NS + 3 * DAY_NS)


@pytest.fixture
def care(tmp_path: Path) -> Iterator[Care]:
    with contextlib.closing(care_of(tmp_path)) as opened:
        yield opened


def row(kind: Kind, index: int, at_ns: int, rng: random.Random) -> Row:
    attributes = {"z": rng.random(), "a": rng.choice(["x", "", 'q"\\', None, [1, "é"], 2**70, True]), "n": 1.0}
    resource = {"service": rng.choice("abc"), "env": "prod", "host": f"h{rng.randrange(9)}"}
    if kind is Kind.METRICS:
        value = rng.choice([0.1, -1.0, 1e300, float("nan"), float("inf")])
        return metric(index, value, at_ns, attributes=attributes, unit="s", metric_kind="sum", **resource)
    if kind is Kind.EVENTS:
        return event(index, rng.choice(["deploy", "start"]), at_ns)
    body = rng.choice(["", "paid \n 17", "größer", "x" * 3000])
    return log(index, body, at_ns, attributes=attributes, trace_id=rng.choice(["", "t1"]), span_id="s", **resource)


def load(kind: Kind, seed: int = 1, messages: int = 40) -> list[Batch]:
    """Two days, three partitions, two tenants; messages with holes, and some without rows."""
    rng = random.Random(seed)
    made = []
    for offset in range(messages):
        for partition in range(3):
            at_ns = NOON_NS + rng.choice((0, 0, DAY_NS)) + rng.randrange(10**6) * 1000
            lines = sorted(rng.sample(range(20), rng.randrange(9)))
            rows = [row(kind, index, at_ns + index * 1000, rng) for index in lines]
            tenant = rng.choice([ACME, OTHER])
            made.append(
                batch(*rows, offset=offset, partition=partition, kind=kind, tenant=tenant, received_ns=at_ns + 999)
            )
    return made


def land(care: Care, batches: Sequence[Batch], hot: HotStore | None = None) -> None:
    """As a flow does: the hot store first."""
    kind = batches[0].kind
    with contextlib.closing((hot or care.hot).writer(kind)) as writer:
        writer.append(batches)
        writer.commit()
    with contextlib.closing(care.lake.writer(kind)) as lake:
        for part in (batches[: len(batches) // 2], batches[len(batches) // 2 :]):
            lake.append(part)
            lake.commit()


def answers(hot: HotStore, kind: Kind, days: Sequence[dt.date]) -> list[Found]:
    query = RecordQuery(kind, All(), None, None, 100_000)
    return [found for tenant in (ACME, OTHER) for found in hot.search(tenant, query, days)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_of_the_rebuilt_day_equals_the_one_before_field_by_field(
    kind: Kind, care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_order, "PART_ROWS", 50)
    monkeypatch.setattr(bus_order, "CHUNK_ROWS", 70)
    land(care, load(kind))
    before = answers(care.hot, kind, [DAY, NEXT])

    done = rebuild_hot(care, kind, DAY)

    assert answers(care.hot, kind, [DAY, NEXT]) == before
    assert done.rows == sum(len(each.rows) for each in load(kind) if each.day == DAY)
    assert done.bytes == care.hot.size_bytes(kind, DAY) > 0
    assert [(held.day, held.trusted, held.rebuilt_ns is None) for held in care.hot.held(kind)] == [
        (DAY, True, False),
        (NEXT, True, True),
    ]


def test_a_dropped_day_comes_back_and_a_day_that_was_never_here_comes(care: Care) -> None:
    land(care, load(Kind.LOGS))
    before = answers(care.hot, Kind.LOGS, [DAY, NEXT])
    care.hot.drop_day(Kind.LOGS, DAY)
    rebuild_hot(care, Kind.LOGS, DAY)
    assert answers(care.hot, Kind.LOGS, [DAY, NEXT]) == before

    shutil.rmtree(care.settings.data / "hot")
    for day in (DAY, NEXT):
        rebuild_hot(care, Kind.LOGS, day)
    assert care.hot.days(Kind.LOGS) == [DAY, NEXT]
    assert answers(care.hot, Kind.LOGS, [DAY, NEXT]) == before


@pytest.mark.parametrize("damage", ["format", "meta"])
def test_a_day_of_another_format_or_a_damaged_one_is_replaced(damage: str, care: Care) -> None:
    land(care, load(Kind.LOGS))
    before = answers(care.hot, Kind.LOGS, [DAY])
    index = care.settings.data / "hot" / "logs" / DAY.isoformat()
    if damage == "format":
        shutil.rmtree(index)
        in_another_format(index)
    else:
        (index / "meta.json").write_text("{")
    care.close()
    rebuild_hot(care, Kind.LOGS, DAY)
    assert care.hot.days(Kind.LOGS) == [DAY, NEXT]
    assert answers(care.hot, Kind.LOGS, [DAY]) == before


def test_rows_that_moved_to_the_archive_are_part_of_the_day_and_so_are_late_ones(care: Care) -> None:
    land(care, load(Kind.LOGS))
    archive_day(care, Kind.LOGS, DAY)
    late = batch(log(body="late"), offset=50)
    land(care, [late])
    before = answers(care.hot, Kind.LOGS, [DAY])
    care.hot.drop_day(Kind.LOGS, DAY)
    rebuild_hot(care, Kind.LOGS, DAY)
    assert answers(care.hot, Kind.LOGS, [DAY]) == before


def test_imported_rows_are_rebuilt_and_never_counted_as_newer_than_the_lake(care: Care) -> None:
    land(care, load(Kind.LOGS))
    rows = [log(index, f"old {index}", NOON_NS + index * 1000) for index in range(3)]
    Import(care, Kind.LOGS, ACME, "file").land([batch(*rows, offset=0)], 0, 1)
    rebuild_hot(care, Kind.LOGS, DAY)
    bodies = [found.fields["body"] for found in answers(care.hot, Kind.LOGS, [DAY])]
    assert sorted(body for body in bodies if body.startswith("old")) == ["old 0", "old 1", "old 2"]
    assert care.hot.tail(ACME, Kind.LOGS, All(), None, None, care.lake.landed(Kind.LOGS), 99) == []


def test_what_is_forgotten_while_it_is_rebuilt_stays_forgotten(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure deletes from the lake, then forgets: a rebuild that read the lake before must not bring it back."""
    land(care, load(Kind.LOGS))
    batches = LakeDay.batches

    def erased_meanwhile(day: LakeDay) -> Iterator[list[Batch]]:
        yield from batches(day)
        care.hot.forget(Kind.LOGS, DAY)

    monkeypatch.setattr(LakeDay, "batches", erased_meanwhile)
    with pytest.raises(StoreError):
        rebuild_hot(care, Kind.LOGS, DAY)
    assert care.hot.days(Kind.LOGS) == [NEXT]
    assert [path.name for path in (care.settings.data / "hot" / "logs").glob(f"{DAY}*")] == [f"{DAY}.forgotten"]


@pytest.mark.parametrize("where", ["lake", "archive"])
def test_what_is_removed_while_an_absent_day_is_built_does_not_come_to_the_hot_store(where: str, care: Care) -> None:
    """An erasure finds no index to forget then, and looks at the hot store only once."""
    land(care, load(Kind.LOGS))
    care.hot.drop_day(Kind.LOGS, DAY)
    if where == "archive":
        archive_day(care, Kind.LOGS, DAY)

    def erase(_built: int, _total: int) -> None:
        table = care.table("logs") if where == "lake" else archive_table(care, Kind.LOGS)
        remove(table, f"day = DATE '{DAY}' AND tenant = 'acme'", ERASED)

    with pytest.raises(StoreError, match="records were removed meanwhile"):
        rebuild_hot(care, Kind.LOGS, DAY, erase)
    assert care.hot.days(Kind.LOGS) == [NEXT]
    rebuild_hot(care, Kind.LOGS, DAY)
    assert {found.position for found in answers(care.hot, Kind.LOGS, [DAY])} == {
        Position(each.partition, each.offset, row.index)
        for each in load(Kind.LOGS)
        if each.day == DAY and each.header.tenant == OTHER
        for row in each.rows
    }


@pytest.mark.parametrize("what", ["removed", "imported"])
def test_a_day_that_changes_in_the_moment_of_the_switch_is_left_to_the_lake(
    what: str, care: Care, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(care, load(Kind.LOGS))
    complete = hot_rebuild.TantivyHotRebuild.complete

    def changed_meanwhile(building: hot_rebuild.TantivyHotRebuild, checkpoints: Mapping[int, int]) -> None:
        if what == "removed":
            remove(care.table("logs"), f"day = DATE '{DAY}' AND tenant = 'acme'", ERASED)
        else:
            Import(care, Kind.LOGS, ACME, "file").land([batch(log(0, "old", NOON_NS), offset=0)], 0, 1)
        complete(building, checkpoints)

    monkeypatch.setattr(hot_rebuild.TantivyHotRebuild, "complete", changed_meanwhile)
    with pytest.raises(StoreError, match=f"{what} meanwhile"):
        rebuild_hot(care, Kind.LOGS, DAY)
    assert care.hot.days(Kind.LOGS) == [NEXT]


def test_an_import_to_another_day_is_not_in_the_way(care: Care) -> None:
    land(care, load(Kind.LOGS))
    other = [batch(log(0, "old", NOON_NS - 9 * DAY_NS), offset=0, received_ns=NOON_NS - 9 * DAY_NS)]
    file = Import(care, Kind.LOGS, ACME, "file")
    rebuild_hot(care, Kind.LOGS, DAY, lambda _built, _total: file.land(other, 0, 1))
    assert care.hot.days(Kind.LOGS) == [DAY, NEXT]


def test_a_row_that_is_missing_on_the_way_keeps_the_day_as_it_was(care: Care, monkeypatch: pytest.MonkeyPatch) -> None:
    land(care, load(Kind.LOGS))
    batches = LakeDay.batches
    monkeypatch.setattr(LakeDay, "batches", lambda day: (list(parts[1:]) for parts in batches(day)))
    with pytest.raises(StoreError, match="but it has"):
        rebuild_hot(care, Kind.LOGS, DAY)
    assert [held.rebuilt_ns for held in care.hot.held(Kind.LOGS)] == [None, None]


def test_only_closed_days_of_what_is_hot_are_rebuilt(care: Care) -> None:
    with pytest.raises(ConfigError, match="not over"):
        rebuild_hot(care, Kind.LOGS, care.today())
    with pytest.raises(ConfigError, match="dead_letters"):
        rebuild_hot(care, Kind.DEAD_LETTERS, DAY)


def test_days_that_hot_should_answer_for_and_does_not_are_named(care: Care) -> None:
    land(care, load(Kind.LOGS))
    policy = Policy(hot_days=3)

    def named(through: dt.date | None = NEXT, policy: Policy = policy) -> list[dt.date]:
        return list(days_to_rebuild(care, Kind.LOGS, policy, through))

    assert named() == []
    care.hot.forget(Kind.LOGS, DAY)
    with contextlib.closing(care.hot.writer(Kind.LOGS)) as writer:
        writer.distrust_through(NEXT)
    assert named() == [DAY, NEXT]
    assert named(DAY) == [DAY]
    assert named(None) == []
    assert named(policy=Policy(hot_days=2)) == [NEXT]
    care.hot.drop_day(Kind.LOGS, DAY)
    assert named() == [NEXT]
    rebuild_hot(care, Kind.LOGS, NEXT)
    assert named() == []


def child(folder: Path, point: str) -> int:
    env = os.environ | {VARIABLE: point}
    return children.run("tests.lakehouse.upkeep.rebuild_child", folder, env=env).returncode


@pytest.mark.parametrize(("point", "before"), KILLS)
def test_killed_at_any_step_the_day_is_the_old_or_the_new_one_and_the_next_rebuild_completes_it(
    point: str, before: str, care: Care
) -> None:
    land(care, load(Kind.LOGS, messages=12))
    right = answers(care.hot, Kind.LOGS, [DAY])
    if before == "dropped":
        care.hot.drop_day(Kind.LOGS, DAY)
    elif before == "forgotten":
        care.hot.forget(Kind.LOGS, DAY)

    assert child(care.settings.data, point) == -signal.SIGKILL

    for _ in range(2):
        assert DAY in care.hot.days(Kind.LOGS) or before != "trusted"
        if DAY in care.hot.days(Kind.LOGS):
            assert answers(care.hot, Kind.LOGS, [DAY]) == right
        care.hot.writer(Kind.LOGS).close()  # a flow that starts removes what is left
    left = {path.name for path in (care.settings.data / "hot" / "logs").glob(f"{DAY}*")}
    assert len([name for name in left if name.partition(".")[0] == name]) <= 1
    assert not any(name.endswith((".building", ".removed")) for name in left)
    rebuild_hot(care, Kind.LOGS, DAY)
    assert answers(care.hot, Kind.LOGS, [DAY]) == right
    assert DAY in care.hot.days(Kind.LOGS)


def test_readers_see_each_record_once_while_a_flow_writes_and_days_are_rebuilt(tmp_path: Path, care: Care) -> None:
    """A flow in another process writes the next day all the while."""
    land(care, load(Kind.LOGS))
    ids = {found.fields["id"] for found in answers(care.hot, Kind.LOGS, [DAY])}
    assert ids
    stop = threading.Event()

    def read() -> int:
        looked = 0
        with contextlib.closing(care_of(tmp_path)) as own:
            search = Search(own.hot, own.lake, own.settings)
            query = RecordQuery(Kind.LOGS, All(), NOON_NS, NOON_NS + DAY_NS, 10_000)
            while not stop.is_set():
                pages = [search.records(tenant, query) for tenant in (ACME, OTHER)]
                found = [record.fields["id"] for page in pages for record in page.records]
                assert not any(page.partial for page in pages)
                assert len(found) == len(set(found))
                assert set(found) == ids
                looked += 1
        return looked

    words = ("tests.lakehouse.upkeep.rebuild_child", tmp_path, "write")
    with Child(*words, env=os.environ) as flow, ThreadPoolExecutor(2) as threads:
        readers = [threads.submit(read) for _ in range(2)]
        try:
            for step in range(6):
                if step == 3:
                    care.hot.drop_day(Kind.LOGS, DAY)
                elif step == 4:
                    care.hot.forget(Kind.LOGS, DAY)
                rebuild_hot(care, Kind.LOGS, DAY)
        finally:
            stop.set()
            flow.wait(30)
        assert all(reader.result() > 3 for reader in readers)
    assert flow.returncode == 0
    assert len(answers(care.hot, Kind.LOGS, [NEXT + dt.timedelta(days=1)])) == rebuild_child.WRITTEN
