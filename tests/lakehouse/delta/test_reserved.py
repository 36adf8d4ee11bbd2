"""Columns that are reserved: a table of before gets them by itself, and goes on as it was."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from contracts.messages import Kind
from contracts.query import All, RecordQuery, Tier
from lakehouse import open_lake
from lakehouse.delta.files import Files
from lakehouse.delta.layout import WARM
from lakehouse.delta.schemas import RESERVED, SCHEMAS, pending_table, record_batch
from lakehouse.delta.table import Delta
from lakehouse.read.search import Search
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.lake_rows import LakeRows
from tests.lakehouse.lake_samples import ACME, NOON_NS, batch, log
from tests.settings import settings

NAMES = [name for name, _ in RESERVED]
DAY = "2026-03-04"


def table_of_before(url: str) -> None:
    """Two small files without the reserved columns."""
    schema = pa.schema([field for field in SCHEMAS["logs"] if field.name not in NAMES])
    DeltaTable.create(f"{url}/logs", schema, partition_by=["day"])
    for offset in range(2):
        rows = pending_table(Kind.LOGS, [record_batch(batch(log(0, f"old {offset}"), offset=offset), "then")])
        write_deltalake(f"{url}/logs", rows.drop_columns(NAMES).cast(schema), mode="append")


def bodies(search: Search) -> list[str]:
    page = search.records(ACME, RecordQuery(Kind.LOGS, All(), None, None, 9), {Tier.LAKE})
    return sorted(record.fields["body"] for record in page.records)


def test_a_table_of_before_gets_the_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    values = settings(data_dir=tmp_path)
    table_of_before(values.lake)
    with contextlib.closing(open_lake(values.lake, values)) as lake:
        search = Search(None, lake, values)
        assert bodies(search) == ["old 0", "old 1"]
        with contextlib.closing(lake.writer(Kind.LOGS)) as writer:
            writer.append([batch(log(0, "new"), offset=2)])
            writer.commit()
        assert bodies(search) == ["new", "old 0", "old 1"]

    table = Delta(values.lake, "logs")
    assert DeltaTable(table.url).schema().to_arrow().names[-len(NAMES) :] == NAMES  # in one commit, at the end
    table.compact([DAY])
    assert len(table.files()) == 1
    with contextlib.closing(open_lake(values.lake, values)) as lake:
        assert bodies(Search(None, lake, values)) == ["new", "old 0", "old 1"]
        rows = lake.snapshot(Kind.LOGS).query(f"SELECT {', '.join(NAMES)} FROM logs").to_pylist()
    assert rows == [dict.fromkeys(NAMES)] * 3


def test_a_file_of_before_is_rewritten_with_the_columns(tmp_path: Path) -> None:
    table_of_before(str(tmp_path))
    table = Delta(str(tmp_path), "logs")
    files = Files(table.url, "logs", {}, WARM)
    first, _ = table.files()
    with files.open(first["path"]) as file:
        made = files.write({"day": DAY}, [files.fitting(part) for part in file.iter_batches()])
    assert made is not None
    with files.open(made.path) as file:
        assert file.schema_arrow.names == files.schema.names


def test_what_was_given_and_the_zone_are_kept_with_each_log_and_come_back_in_a_rebuild(tmp_path: Path) -> None:
    values = settings(data_dir=tmp_path)
    rows = [log(0, "a", given='{"v":2}', zone="UTC"), log(1, "b"), log(2, "c", given='{"v":2}', zone="Asia/Kolkata")]
    with (
        contextlib.closing(open_lake(values.lake, values)) as lake,
        contextlib.closing(lake.writer(Kind.LOGS)) as writer,
    ):
        writer.append([batch(*rows, offset=0)])
        writer.commit()
        kept = lake.snapshot(Kind.LOGS).query("SELECT body, given, zone FROM logs ORDER BY body").to_pylist()
    assert [tuple(row.values()) for row in kept] == [
        ("a", '{"v":2}', "UTC"),
        ("b", None, None),
        ("c", '{"v":2}', "Asia/Kolkata"),
    ]
    (read,) = next(LakeRows(Care(values, lambda: NOON_NS), Kind.LOGS).batches("TRUE"))
    assert read.rows == rows
