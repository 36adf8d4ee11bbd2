from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import Term
from lakehouse.delta.removal import counts
from lakehouse.delta.schemas import ERASURES
from lakehouse.lake.erasure_requests import Request, begin
from lakehouse.upkeep.erasure.erase import unfinished
from lakehouse.upkeep.erasure.lock import erasing, is_erasing
from tests.lakehouse.lake_samples import ACME
from tests.orchestration.assets.test_assets import facts, made
from tests.orchestration.caring import NOW_NS, land, upkeep
from tests.orchestration.schedules.test_schedules import tick

SOON_NS = NOW_NS // 1000 * 1000 + 60 * 10**9


def left_over(folder: Path) -> None:
    """What an erasure leaves whose process was killed after its tombstone."""
    land(folder)
    request = Request("20260101-000000-abc", ACME, {Kind.LOGS: Term("host", "h1")}, "host:h1", SOON_NS)
    with upkeep(folder).care() as care:
        begin(care.table(ERASURES), request, SOON_NS)


def test_an_erasure_that_was_left_over_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_ERASE_GRACE_S", "0")
    left_over(tmp_path)
    with dg.instance_for_test() as instance:
        assert not isinstance(tick("erasures", upkeep(tmp_path), instance), dg.SkipReason)
        with erasing(upkeep(tmp_path).settings()):
            assert isinstance(tick("erasures", upkeep(tmp_path), instance), dg.SkipReason)

        result = made(tmp_path, "upkeep", "erasures")

        assert facts(result, "erasures")["completed"] == 1
        assert isinstance(tick("erasures", upkeep(tmp_path), instance), dg.SkipReason)
    with upkeep(tmp_path).care() as care:
        assert not unfinished(care)
        assert counts(care.table("logs"), "TRUE") == {}
    assert list((tmp_path / "receipts").glob("2026*.json"))


def test_two_processes_do_not_erase_at_once(tmp_path: Path) -> None:
    settings = upkeep(tmp_path).settings()
    assert not is_erasing(settings)
    with erasing(settings):
        assert is_erasing(settings)
        with pytest.raises(StoreError, match="another process is erasing"), erasing(settings):
            pass
    assert not is_erasing(settings)
