"""`headwater up` on a real folder, runs started in Dagster, and its pages in a real Chromium."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.headwater.platform import Platform
from tests.headwater.processes import output
from tests.orchestration.batch import failures_counted, failures_told, pid_of_batch, with_batch
from tests.orchestration.browser import PATIENCE_MS, chromium, page, shoot
from tests.orchestration.dagster_api import DagsterApi
from tests.orchestration.older_days import fill
from tests.waiting import until

expect.set_options(timeout=PATIENCE_MS)
YESTERDAY = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)
BEFORE = YESTERDAY - dt.timedelta(days=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_operator_sees_the_lineage_the_facts_of_a_day_and_the_rows_that_failed_a_check(tmp_path: Path) -> None:
    chromium()
    total = fill(tmp_path / "data", BEFORE, YESTERDAY, skewed=YESTERDAY)
    with with_batch(tmp_path) as (up, url):
        until(lambda: up.has(total), "the records of older days being stored", 90)
        dagster = DagsterApi(url)
        runs = {
            day: dagster.launch("closed_day", day.isoformat(), [["lake", "logs_compacted"]])
            for day in (BEFORE, YESTERDAY)
        }
        assert dagster.ended(runs[BEFORE], 300) == "SUCCESS"
        assert dagster.ended(runs[YESTERDAY], 300) == "FAILURE"
        with page(url) as (tab, foreign):
            _lineage(tab, url)
            _materialisation(tab, url)
            _failed_check(tab, url)
        assert not foreign
        _the_failure_is_told(up, runs[YESTERDAY])
        _a_killed_daemon_is_started_again(up, url)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(12) == 0
    assert "batch stopped in" in output(tmp_path)


def _lineage(tab: Page, url: str) -> None:
    tab.goto(f"{url}/locations/headwater/asset-groups/logs/lineage")
    for name in ("logs_raw", "logs_open_day", "logs_compacted", "logs_retained", "logs_hot", "logs_archive"):
        expect(tab.get_by_text(name, exact=True).first).to_be_visible()
    expect(tab.get_by_text(re.compile(r"\d+ / 13 Passed"))).to_be_visible()
    expect(tab.get_by_text("Loading...")).to_have_count(0)
    shoot(tab, "lineage")


def _materialisation(tab: Page, url: str) -> None:
    tab.goto(f"{url}/assets/lake/logs_compacted?view=partitions&partition={BEFORE}")
    expect(tab.get_by_text("files before", exact=True)).to_be_visible()
    for fact in ("rows", "files after", "bytes before", "bytes after", "compression ratio", "Delta version"):
        expect(tab.get_by_text(fact, exact=True)).to_be_visible()
    expect(tab.get_by_text("1200", exact=True).first).to_be_visible()
    shoot(tab, "materialisation")


def _failed_check(tab: Page, url: str) -> None:
    tab.goto(f"{url}/assets/lake/logs_compacted?view=checks&checkDetail=clock_ahead")
    expect(tab.get_by_text("failing rows", exact=True)).to_be_visible()
    text = tab.inner_text("body")
    assert "blocking" in text
    assert "ahead_share at most 0.01" in text
    assert "mailer" in text
    assert YESTERDAY.isoformat() in text
    shoot(tab, "failed-check")


def _the_failure_is_told(up: Platform, run: str) -> None:
    until(lambda: run in failures_told(up), "the event pipeline.failure", 60)
    assert failures_counted(up, "closed_day") == 1


def _a_killed_daemon_is_started_again(up: Platform, url: str) -> None:
    victim = pid_of_batch(up)
    os.kill(victim, signal.SIGKILL)
    until(lambda: pid_of_batch(up) not in (0, victim), "the second start of the batch tiers")
    until(lambda: "batch ready again" in output(up.folder), "the UI answering again", 90)
    assert httpx.get(f"{url}/server_info").status_code == 200
