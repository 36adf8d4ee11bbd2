"""Files written beside the library: in order, found by others, and never twice in a version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import QueryBuilder
from deltalake.exceptions import CommitFailedError

from contracts.messages import Kind
from lakehouse.delta.layout import WARM
from lakehouse.delta.schemas import PENDING_SCHEMAS, pending_table, record_batch
from lakehouse.delta.table import Delta
from lakehouse.lake.archive import ARCHIVE
from tests.lakehouse.lake_samples import DAY_NS, NOON_NS, batch, log

DAY = dt.date(2026, 3, 4)
OTHER_DAY = DAY + dt.timedelta(days=1)
ROWS = 20


def rows_of(offset: int, day: int = 0, trace: str = "") -> pa.RecordBatch:
    lines = [log(n, f"{offset}-{n}", NOON_NS + n * 1_000_000, trace_id=trace) for n in range(ROWS)]
    made = batch(*lines, offset=offset, received_ns=NOON_NS + day * DAY_NS)
    return record_batch(made, "headwater/test")


def appended(table: Delta, offset: int, day: int = 0) -> None:
    table.append(Kind.LOGS.value, pending_table(Kind.LOGS, [rows_of(offset, day)]), {0: offset + 1})


def counted(url: str) -> dict[dt.date, tuple[int, int]]:
    """Rows and distinct ones, by day."""
    builder, table = QueryBuilder(), Delta(url, "logs")
    table.register(builder)
    sql = "SELECT day, count(*) AS n, count(DISTINCT body) AS bodies FROM logs GROUP BY day"
    found = pa.RecordBatchReader.from_stream(builder.execute(sql)).read_all().to_pylist()
    return {row["day"]: (row["n"], row["bodies"]) for row in found}


@pytest.fixture
def table(tmp_path: Path) -> Delta:
    made = Delta(str(tmp_path), "logs")
    for offset in range(3):
        appended(made, offset)
    return made


def test_a_file_holds_its_batches_in_the_order_they_came_and_others_read_it(table: Delta, tmp_path: Path) -> None:
    batches = [rows_of(offset) for offset in (7, 3, 5, 1)]
    made = table.new_files().write({"day": "2026-03-05"}, batches)
    assert made is not None
    table.add_files([made], {"some": 1})

    wanted = [body.as_py() for rows in batches for body in rows.column("body")]
    file = pq.ParquetFile(tmp_path / "logs" / made.path)
    assert file.read().column("body").to_pylist() == wanted
    assert file.schema_arrow.field("service").type == pa.string()
    theirs = duckdb.execute("SELECT list(body) FROM read_parquet(?)", [str(tmp_path / "logs" / made.path)]).fetchone()
    assert theirs == (wanted,)
    assert counted(str(tmp_path)) == {DAY: (3 * ROWS, 3 * ROWS), OTHER_DAY: (4 * ROWS, 4 * ROWS)}
    assert table.noted("some") == 1


def test_the_log_says_what_a_file_holds_to_the_microsecond(table: Delta) -> None:
    before = {file["path"] for file in table.files()}
    made = table.new_files().write({"day": DAY.isoformat()}, [rows_of(7), rows_of(9)])
    assert made is not None
    table.add_files([made], {})
    table.refresh()

    (file,) = [file for file in table.files() if file["path"] not in before]
    first = dt.datetime.fromtimestamp(NOON_NS / 1e9, dt.UTC)
    assert (file["num_records"], file["size_bytes"]) == (2 * ROWS, made.size)
    assert (file["min.bus_offset"], file["max.bus_offset"], file["null_count.service"]) == (7, 9, 0)
    assert (file["min.timestamp"], file["max.timestamp"]) == (first, first + dt.timedelta(milliseconds=ROWS - 1))


def test_no_rows_make_no_file(table: Delta, tmp_path: Path) -> None:
    assert table.new_files().write({"day": "2026-03-09"}, []) is None
    assert not list((tmp_path / "logs").glob("day=2026-03-09/*"))


def test_a_source_that_fails_leaves_no_file(table: Delta, tmp_path: Path) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield rows_of(7)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        table.new_files().write({"day": "2026-03-09"}, failing())
    assert not list((tmp_path / "logs").glob("day=2026-03-09/*"))


def test_trace_ids_get_a_filter_in_either_layout(tmp_path: Path) -> None:
    for layout in (ARCHIVE, WARM):
        table = Delta(str(tmp_path / layout.tier), "logs", layout=layout)
        partition = {"day": DAY.isoformat()} | ({"move": "1"} if layout is ARCHIVE else {})
        made = table.new_files().write(partition, [rows_of(7, trace="ab" * 16), rows_of(8, trace="cd" * 16)], 500)
        assert made is not None
        table.add_files([made], {})
        table.refresh()
        builder = QueryBuilder()
        table.register(builder)
        asked = builder.execute(f"SELECT count(*) AS n FROM logs WHERE trace_id = '{'ab' * 16}'")
        assert pa.RecordBatchReader.from_stream(asked).read_all().to_pylist() == [{"n": ROWS}]


def merged(other: Delta) -> None:
    other.compact([DAY.isoformat()])


def went(other: Delta) -> None:
    other.delete(f"day = DATE '{DAY}' AND bus_offset = 1", {})


def came(other: Delta) -> None:
    appended(other, 3)


@pytest.mark.parametrize("change", [merged, went, came])
def test_a_day_that_others_changed_meanwhile_is_not_replaced(
    table: Delta, tmp_path: Path, change: Callable[[Delta], None]
) -> None:
    made = table.new_files().write({"day": DAY.isoformat()}, [rows_of(offset) for offset in range(3)])
    assert made is not None
    change(Delta(str(tmp_path), "logs"))
    before = counted(str(tmp_path))

    with pytest.raises(CommitFailedError):
        table.replace(DAY, [made], {"some": 1})
    assert counted(str(tmp_path)) == before
    assert Delta(str(tmp_path), "logs").noted("some") is None


def test_other_days_are_no_obstacle_and_a_name_that_others_noted_is(table: Delta, tmp_path: Path) -> None:
    made = table.new_files().write({"day": DAY.isoformat()}, [rows_of(offset) for offset in range(3)])
    assert made is not None
    other = Delta(str(tmp_path), "logs")
    appended(other, 3, day=1)

    table.replace(DAY, [made], {"some": 1})
    assert counted(str(tmp_path)) == {DAY: (3 * ROWS, 3 * ROWS), OTHER_DAY: (ROWS, ROWS)}

    other.refresh()
    other.note({"some": 2})
    with pytest.raises(CommitFailedError):
        table.replace(DAY, [made], {"some": 3})


def test_appended_rows_of_many_pieces_stand_in_their_order(tmp_path: Path) -> None:
    table = Delta(str(tmp_path), "logs")
    pieces = pa.Table.from_batches([rows_of(offset) for offset in range(8)], PENDING_SCHEMAS[Kind.LOGS])
    table.add(pieces.unify_dictionaries(), {})
    table.refresh()

    (file,) = table.files()
    written = pq.ParquetFile(tmp_path / "logs" / file["path"]).read().column("bus_offset").to_pylist()
    assert written == [offset for offset in range(8) for _ in range(ROWS)]


def test_a_commit_whose_answer_was_lost_is_known_for_its_own_whatever_came_since(
    table: Delta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = table.new_files().write({"day": DAY.isoformat()}, [rows_of(offset) for offset in range(3)])
    assert made is not None
    commit = Delta._commit_files

    def lost(self: Delta, *given: object, **named: object) -> None:
        commit(self, *given, **named)  # type: ignore[arg-type]  # whatever it takes
        appended(Delta(str(tmp_path), "logs"), 9)
        raise CommitFailedError("somebody was first")

    with monkeypatch.context() as patched:
        patched.setattr(Delta, "_commit_files", lost)
        table.replace(DAY, [made], {"compacted": 60})

    assert counted(str(tmp_path)) == {DAY: (4 * ROWS, 4 * ROWS)}
