"""`headwater import`: files -> rows, each once, on the days of their own times; killed and started again too."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from bus import open_bus
from contracts.bus import Bus
from contracts.errors import ConfigError
from contracts.failpoints import VARIABLE
from contracts.messages import Kind, Message, from_headers
from contracts.query import All, RecordQuery, Term
from contracts.settings import Settings
from contracts.tenants import tenant_named
from headwater.commands.import_files import Options, options_of, parts
from headwater.commands.importing import import_files
from lakehouse import open_lake
from lakehouse.delta.schemas import ERASURES
from lakehouse.lake.erasure_requests import Request, begin
from lakehouse.read.search import Search
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from query_api.account import account
from tests import children
from tests.samples.lines import write_files
from tests.settings import settings as placed

ACME = "acme"
OLD = dt.datetime(2024, 5, 1, 23, 59, 0, tzinfo=dt.UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return placed(data_dir=tmp_path / "data", lake_commit_rows=700)


def lines(count: int, start: dt.datetime = OLD, step_s: float = 1.0) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": (start + dt.timedelta(seconds=at * step_s)).isoformat(),
            "service": "shop",
            "level": "warn",
            "body": f"order {at}",
            "attributes": {"n": at},
        }
        for at in range(count)
    ]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@contextlib.contextmanager
def searching(settings: Settings) -> Iterator[Search]:
    with contextlib.closing(open_lake(settings.lake, settings)) as lake:
        yield Search(None, lake, settings)


def found(settings: Settings, kind: Kind = Kind.LOGS) -> list[dict[str, Any]]:
    with searching(settings) as search:
        page = search.records(tenant_named(ACME), RecordQuery(kind, All(), None, None, 100_000, None, False))
    return [dict(record.fields) for record in page.records]


def every_message(bus: Bus) -> list[Message]:
    topic = Kind.LOGS.topic
    return [each for partition in bus.partitions(topic) for each in bus.reader(topic, partition, 0).poll(10)]


def days(settings: Settings) -> set[str]:
    with contextlib.closing(open_lake(settings.lake, settings)) as lake:
        return {str(row["day"]) for row in lake.snapshot(Kind.LOGS).query("SELECT DISTINCT day FROM logs").to_pylist()}


def logs(form: str = "auto") -> Options:
    return options_of("logs", form, "edge", "prod", "h9")


def test_old_records_stand_on_the_days_of_their_own_times(tmp_path: Path, settings: Settings) -> None:
    path = written(tmp_path / "old.ndjson", lines(120))

    assert import_files(settings, [path], ACME, logs()) == 0

    records = found(settings)
    assert [record["body"] for record in records] == [f"order {at}" for at in range(120)]
    assert records[0]["timestamp"] == "2024-05-01T23:59:00.000000Z"
    assert records[0]["service"] == "shop"
    assert records[7]["attributes"] == {"n": 7}
    assert days(settings) == {"2024-05-01", "2024-05-02"}
    assert len({record["id"] for record in records}) == 120


def test_imported_records_are_part_of_the_account(tmp_path: Path, settings: Settings) -> None:
    now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1)
    path = written(tmp_path / "old.ndjson", [*lines(1500), *lines(20, now)])

    import_files(settings, [path], ACME, logs())

    with contextlib.ExitStack() as stack:
        bus = stack.enter_context(contextlib.closing(open_bus(settings.bus, settings)))
        lake = stack.enter_context(contextlib.closing(open_lake(settings.lake, settings)))
        (entry,) = [each for each in account(bus, lake, tenant_named(ACME)) if each.kind is Kind.LOGS]
    assert (entry.received, entry.visible, entry.in_flight, entry.difference) == (1520, 1500, 20, 0)


def test_a_file_that_was_imported_is_not_imported_again(tmp_path: Path, settings: Settings) -> None:
    path = written(tmp_path / "old.ndjson", lines(50))
    copy = written(tmp_path / "copies" / "same.ndjson", lines(50))

    for each in (path, path, copy):
        import_files(settings, [each], ACME, logs())

    assert len(found(settings)) == 50


@pytest.mark.parametrize("pack", ["plain", "gzip", "zstd", "parquet"])
def test_every_form_gives_the_same_records(tmp_path: Path, settings: Settings, pack: str) -> None:
    records = lines(30)
    path = written(tmp_path / "old.ndjson", records)
    if pack == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif pack == "zstd":
        path.write_bytes(zstandard.ZstdCompressor().compress(path.read_bytes()))
    elif pack == "parquet":
        columns = {name: [record[name] for record in records] for name in ("service", "level", "body")}
        columns["timestamp"] = [dt.datetime.fromisoformat(record["timestamp"]) for record in records]
        columns["n"] = list(range(30))
        parquet.write_table(pa.table(columns), path)

    import_files(settings, [path], ACME, logs())

    assert [(each["body"], each["attributes"]["n"]) for each in found(settings)] == [
        (f"order {at}", at) for at in range(30)
    ]


def test_records_that_the_search_showed_can_be_imported(tmp_path: Path, settings: Settings) -> None:
    import_files(settings, [written(tmp_path / "old.ndjson", lines(10))], "other", logs())
    with searching(settings) as search:
        page = search.records(tenant_named("other"), RecordQuery(Kind.LOGS, All(), None, None, 100, None, False))
    shown = written(tmp_path / "shown.ndjson", [dict(record.fields) for record in page.records])

    import_files(settings, [shown], ACME, logs())

    without = [{name: each[name] for name in each if name != "id"} for each in found(settings)]
    assert without == [{name: value for name, value in each.fields.items() if name != "id"} for each in page.records]


def test_a_log_file_is_read_line_by_line_with_the_times_that_stand_in_it(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "app.log"
    path.write_text("2024-05-01T10:00:00Z ERROR payment refused\n\n2024-05-01T10:00:01Z INFO done\nno time here\n")
    os.utime(path, (OLD.timestamp(), OLD.timestamp()))

    import_files(settings, [path], ACME, logs())

    records = found(settings)
    assert [(each["timestamp"], each["service"], each["host"]) for each in records] == [
        ("2024-05-01T10:00:00.000000Z", "edge", "h9"),
        ("2024-05-01T10:00:01.000000Z", "edge", "h9"),
        ("2024-05-01T23:59:00.000000Z", "edge", "h9"),
    ]
    assert records[0]["severity_text"] == "ERROR"
    assert records[0]["attributes"]["log.file.name"] == "app.log"


def test_recent_records_pass_the_bus_and_old_ones_do_not(tmp_path: Path, settings: Settings) -> None:
    now = dt.datetime.now(dt.UTC)
    mixed = [*lines(5), *lines(4, now - dt.timedelta(hours=1)), *lines(3)]

    import_files(settings, [written(tmp_path / "mixed.ndjson", mixed)], ACME, logs())

    assert len(found(settings)) == 8
    with contextlib.closing(open_bus(settings.bus, settings)) as bus:
        messages = every_message(bus)
    header = from_headers(messages[0].headers)
    assert len(messages) == 1
    assert header is not None
    assert (header.count, header.span, header.tenant) == (4, 12, ACME)


def test_a_subject_that_was_erased_does_not_come_back_out_of_an_old_file(tmp_path: Path, settings: Settings) -> None:
    now_ns = time.time_ns() // 1000 * 1000
    request = Request("e1", tenant_named(ACME), {Kind.LOGS: Term("body", "7")}, "body:7", now_ns)
    begin(Care(settings).table(ERASURES), request, now_ns)
    mixed = [*lines(10), *lines(10, dt.datetime.now(dt.UTC) - dt.timedelta(hours=30))]

    import_files(settings, [written(tmp_path / "old.ndjson", mixed)], ACME, logs())

    assert [record["attributes"]["n"] for record in found(settings)] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    with contextlib.closing(open_bus(settings.bus, settings)) as bus:
        sent = [from_headers(message.headers) for message in every_message(bus)]
    assert [header.count for header in sent if header] == [9]


def test_a_day_that_the_hot_store_holds_gets_the_imported_rows_too(tmp_path: Path, settings: Settings) -> None:
    import_files(settings, [written(tmp_path / "old.ndjson", lines(20))], ACME, logs())
    with contextlib.closing(Care(settings)) as care:
        for day in (OLD.date(), OLD.date() + dt.timedelta(days=1)):
            if day.isoformat() in days(settings):
                rebuild_hot(care, Kind.LOGS, day)
    import_files(settings, [written(tmp_path / "more.ndjson", lines(7, OLD - dt.timedelta(hours=2)))], ACME, logs())

    with contextlib.closing(Care(settings)) as care:
        search = Search(care.hot, care.lake, settings)
        page = search.records(tenant_named(ACME), RecordQuery(Kind.LOGS, All(), None, None, 1000, None, False))
        assert care.hot.days(Kind.LOGS) == [OLD.date()]
        (service,) = search.services(tenant_named(ACME), 0, time.time_ns()).services
        assert service.logs == 27
    assert (len(page.records), page.tiers["hot"].rows, page.tiers["lake"].rows) == (27, 27, 0)


def test_refused_records_are_named_with_their_reason_and_the_others_pass(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "old.ndjson", lines(5))
    path.write_text(path.read_text() + '[1]\n{"level": "info"}\nnot json\n' + json.dumps(lines(1)[0]) + "\n")

    assert import_files(settings, [path], ACME, logs("ndjson")) == 1

    assert len(found(settings)) == 6
    name = next((settings.data / "imports").iterdir())
    refused = [json.loads(line) for line in name.read_text().splitlines()]
    assert [(each["record"], each["reason"]) for each in refused] == [
        (6, "invalid_record"),
        (7, "missing_body"),
        (8, "invalid_json"),
    ]
    assert "3 records refused" in capsys.readouterr().out


def test_what_cannot_be_imported_is_said_before_anything_is_stored(tmp_path: Path, settings: Settings) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("hello\n")
    with pytest.raises(ConfigError, match="is not there"):
        import_files(settings, [tmp_path / "absent"], ACME, logs())
    with pytest.raises(ConfigError, match="no record of kind metrics"):
        import_files(settings, [plain], ACME, options_of("metrics", "auto"))
    with pytest.raises(ConfigError, match="no Parquet file"):
        import_files(settings, [plain], ACME, logs("parquet"))
    with pytest.raises(ConfigError, match="cannot be imported"):
        options_of("dead_letters", "auto")
    with pytest.raises(ConfigError, match="plain lines are logs"):
        options_of("events", "lines")


@pytest.mark.parametrize("point", ["import.landed#2", "import.sent#1"])
def test_a_killed_import_goes_on_where_it_stood(tmp_path: Path, point: str) -> None:
    now = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(hours=5)
    records = [*lines(12_000), *lines(500, now, 0.01), *lines(5000), *lines(500, now, 0.02)]
    path = written(tmp_path / "old.ndjson", records)
    words = ("tests.headwater.import_child", tmp_path / "data", path)

    killed = children.run(*words, env=os.environ | {VARIABLE: point})
    again = children.run(*words, env=os.environ)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert again.returncode == 0, again.stderr
    settings = placed(data_dir=tmp_path / "data")
    assert sorted(record["attributes"]["n"] for record in found(settings)) == sorted([*range(12_000), *range(5000)])


@pytest.mark.parametrize("system", ["system", "quorum"])
def test_a_log_file_of_another_system_is_read_whole(tmp_path: Path, settings: Settings, system: str) -> None:
    (path,) = (path for path in write_files(tmp_path / "logs", 2000) if path.stem == system)
    count = sum(
        part.payload.count(b"{") > 0 and sum(1 for line in part.payload.split(b"\n") if line)
        for part in parts(path, "lines", logs())
    )

    import_files(settings, [path], ACME, logs())

    assert count == len([line for line in path.read_bytes().split(b"\n") if line.strip()])
    assert len(found(settings)) == count
