"""An import that meets something else: a midnight, a kill beside the hot store, an erasure."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bus import open_bus
from contracts.failpoints import VARIABLE
from contracts.messages import Kind, from_headers
from contracts.query import All, RecordQuery, Term
from contracts.settings import Settings
from contracts.tenants import tenant_named
from headwater.commands.import_files import digest, options_of
from headwater.commands.importing import import_files
from lakehouse.delta.schemas import ERASURES
from lakehouse.lake import erasure_requests as erasures
from lakehouse.lake.erasure_requests import Request, begin
from lakehouse.read.search import Search
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure import wait as erasure_wait
from lakehouse.upkeep.imports.land import ALL, Import
from lakehouse.upkeep.rebuild.hot_day import rebuild_hot
from tests import children
from tests.headwater.commands.test_import import ACME, OLD, every_message, found, lines, written
from tests.settings import settings as placed

LOGS = options_of("logs", "auto")
WHOSE = tenant_named(ACME)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return placed(data_dir=tmp_path / "data", lake_commit_rows=700)


def test_an_import_that_goes_on_after_midnight_parts_the_records_as_it_did_before(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those of one day were sent to the bus before, and land in the lake now."""
    edge = dt.datetime.now(dt.UTC).replace(hour=12) - dt.timedelta(days=6)
    path = written(tmp_path / "mixed.ndjson", [*lines(20), *lines(5, edge)])

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Import, "land", killed)
        with pytest.raises(KeyboardInterrupt):
            import_files(settings, [path], ACME, LOGS)
    today = Care.today
    monkeypatch.setattr(Care, "today", lambda care: today(care) + dt.timedelta(days=1))
    import_files(settings, [path], ACME, LOGS)

    assert len(found(settings)) == 20
    with contextlib.closing(open_bus(settings.bus, settings)) as bus:
        headers = [from_headers(message.headers) for message in every_message(bus)]
    assert [(header.sequence, header.count) for header in headers if header] == [(0, 5), (0, 5)]


def test_rows_of_a_killed_import_are_not_hidden_by_the_hot_store(tmp_path: Path) -> None:
    settings = placed(data_dir=tmp_path / "data", lake_commit_rows=6000)
    import_files(settings, [written(tmp_path / "first.ndjson", lines(3))], ACME, LOGS)
    with contextlib.closing(Care(settings)) as care:
        rebuild_hot(care, Kind.LOGS, OLD.date())
    path = written(tmp_path / "more.ndjson", lines(9, OLD - dt.timedelta(hours=2)))
    env = os.environ | {VARIABLE: "import.landed"}
    killed = children.run("tests.headwater.import_child", tmp_path / "data", path, env=env)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    with contextlib.closing(Care(settings)) as care:
        page = Search(care.hot, care.lake, settings).records(WHOSE, RecordQuery(Kind.LOGS, All(), None, None, 1000))
    assert sorted(Counter(record.fields["attributes"]["n"] for record in page.records).values()) == [1] * 6 + [2] * 3


@pytest.mark.parametrize("moment", ["read", "looked"])
def test_an_erasure_that_begins_while_a_file_is_imported_leaves_none_of_it(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = written(tmp_path / "old.ndjson", lines(10))
    name = "land" if moment == "read" else "_commit"  # before or after the last look for erasures
    real = getattr(Import, name)

    def erased_meanwhile(importing: Import, *given: Any) -> Any:
        monkeypatch.setattr(Import, name, real)
        now_ns = importing.care.now_ns() // 1000 * 1000
        request = Request("e1", WHOSE, {Kind.LOGS: Term("body", "7")}, "body:7", now_ns)
        begin(importing.care.table(ERASURES), request, now_ns)
        erasure_wait.fence_imports(importing.care, request)
        return real(importing, *given)

    monkeypatch.setattr(Import, name, erased_meanwhile)
    import_files(settings, [path], ACME, LOGS)

    assert sorted(record["attributes"]["n"] for record in found(settings)) == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    with contextlib.closing(Care(settings)) as care:
        assert Import(care, Kind.LOGS, WHOSE, digest(path, WHOSE, LOGS)).done() == ALL
        assert [request.id for request in erasures.asked(care.table(ERASURES))] == ["e1"]
