"""Alerts whose webhook is away, refuses or is slow: over a real web server, hour after hour of a clock passed in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headwater.supervision.batch_metrics import BatchFailures
from orchestration.failures import alerts, webhook
from orchestration.failures.alerts import post_due, tell_untold
from orchestration.failures.failed_runs import Failure, failure_counts, tell
from orchestration.resources import Upkeep
from tests.children import ROOT
from tests.orchestration.failures.test_failed_runs import AT_NS, FAILURE, Hook, events, served, start_anew

S = 10**9
AWAY = "http://127.0.0.1:9/hook"


@pytest.fixture(autouse=True)
def _short_pauses_within_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSE_S", 0.001)


def upkeep(folder: Path, url: str, after_s: float = 0.0, **given: Any) -> Upkeep:
    values = {"data_dir": str(folder), "alert_webhook_url": url, **given}
    return Upkeep(overrides=values, clock_ns=AT_NS + int(after_s * S))


def failure(number: int) -> Failure:
    return replace(FAILURE, run_id=f"run-{number}", reason=f"reason {number}")


def told(folder: Path) -> dict[tuple[str, ...], float]:
    """The metrics about alerts that are not 0."""
    samples = [sample for family in BatchFailures(folder).collect() for sample in family.samples]
    return {
        (sample.name.removeprefix("headwater_alerts_"), *sample.labels.values()): sample.value
        for sample in samples
        if sample.value and sample.name.startswith("headwater_alerts_")
    }


def test_an_alert_whose_webhook_is_away_for_seconds_is_posted_once_when_it_is_back(tmp_path: Path) -> None:
    assert tell(FAILURE, upkeep(tmp_path, AWAY))
    assert told(tmp_path) == {("waiting", "webhook"): 1}
    hook = Hook()
    with served(hook) as url:
        assert tell_untold(upkeep(tmp_path, url, 1.0)) == 0  # its pause is not over
        assert [tell_untold(upkeep(tmp_path, url, 3.0)) for _ in range(3)] == [1, 0, 0]
    assert [body["run_id"] for body in hook.bodies] == ["run-1"]
    assert told(tmp_path) == {}
    assert len(events(upkeep(tmp_path, "").settings())) == 1


def test_hours_of_absence_cost_few_attempts_and_every_alert_is_posted_after_them_across_new_starts(
    tmp_path: Path,
) -> None:
    hook = Hook(refusals=10**9)
    with served(hook) as url:
        for minute in range(6 * 60):
            if minute % 30 == 0:
                assert tell(failure(minute), upkeep(tmp_path, url, minute * 60))
                start_anew()
            tell_untold(upkeep(tmp_path, url, minute * 60))
        attempts = 10**9 - hook.refusals
        assert 60 <= attempts <= 120  # one each five minutes, and three for a new alert
        hook.refusals = 0
        start_anew()
        assert tell_untold(upkeep(tmp_path, url, 6 * 3600 + 300)) == 12
    assert sorted(body["run_id"] for body in hook.bodies) == sorted(f"run-{30 * number}" for number in range(12))
    assert told(tmp_path) == {}


def test_a_pause_that_grew_is_forgotten_once_the_webhook_answers(tmp_path: Path) -> None:
    hook = Hook(refusals=3)
    with served(hook) as url:
        assert tell(FAILURE, upkeep(tmp_path, url))
        assert tell_untold(upkeep(tmp_path, url, 3)) == 1
        hook.refusals = 3
        assert tell(failure(2), upkeep(tmp_path, url, 10))
        assert tell_untold(upkeep(tmp_path, url, 13)) == 1
    assert [body["run_id"] for body in hook.bodies] == ["run-1", "run-2"]


def test_an_alert_that_waited_for_too_long_is_given_up_and_counted(tmp_path: Path) -> None:
    given = {"alert_webhook_retry_h": 2.0}
    assert tell(FAILURE, upkeep(tmp_path, AWAY, **given))
    assert tell(failure(2), upkeep(tmp_path, AWAY, 3600, **given))
    assert tell_untold(upkeep(tmp_path, AWAY, 7300, **given)) == 1
    assert told(tmp_path) == {("given_up_total", "webhook", "too_old"): 1, ("waiting", "webhook"): 1}
    hook = Hook()
    with served(hook) as url:
        assert tell_untold(upkeep(tmp_path, url, 10_000, **given)) == 1
    assert [body["run_id"] for body in hook.bodies] == ["run-2"]
    assert len(events(upkeep(tmp_path, "").settings())) == 2
    assert failure_counts(tmp_path) == {"closed_day": 2}


def test_alerts_that_wait_are_bounded_and_the_oldest_are_given_up_and_counted(tmp_path: Path) -> None:
    for number in range(7):
        assert tell(failure(number), upkeep(tmp_path, AWAY, number, alert_queue=3))
    assert told(tmp_path) == {("given_up_total", "webhook", "queue_full"): 4, ("waiting", "webhook"): 3}
    assert not tell(failure(0), upkeep(tmp_path, AWAY, 10, alert_queue=3))
    hook = Hook()
    with served(hook) as url:
        assert tell_untold(upkeep(tmp_path, url, 3600)) == 3
    assert {body["run_id"] for body in hook.bodies} == {"run-4", "run-5", "run-6"}
    assert len(hook.bodies) == 3
    assert len(events(upkeep(tmp_path, "").settings())) == 7


def test_an_alert_that_the_webhook_refuses_holds_up_no_other_alert(tmp_path: Path) -> None:
    hook = Hook(refuses=lambda body: 400 if body["run_id"] == "run-0" else 0)
    with served(hook) as url:
        for number in range(4):
            assert tell(failure(number), upkeep(tmp_path, url, number))
        assert [body["run_id"] for body in hook.bodies] == ["run-1", "run-2", "run-3"]
        hook.refuses = lambda body: 0
        assert tell_untold(upkeep(tmp_path, url, 60)) == 1
    assert [body["run_id"] for body in hook.bodies] == ["run-1", "run-2", "run-3", "run-0"]


def test_a_webhook_that_asks_for_a_longer_pause_is_left_alone_for_it(tmp_path: Path) -> None:
    hook = Hook(refusals=3, retry_after="120")
    with served(hook) as url:
        assert tell(FAILURE, upkeep(tmp_path, url))
        assert [tell_untold(upkeep(tmp_path, url, at_s)) for at_s in (60, 119, 121)] == [0, 0, 1]


def test_a_clock_that_is_set_back_ends_no_retry(tmp_path: Path) -> None:
    assert tell(FAILURE, upkeep(tmp_path, AWAY, 10 * 86_400))
    hook = Hook()
    with served(hook) as url:
        assert tell_untold(upkeep(tmp_path, url)) == 1
    assert len(hook.bodies) == 1


def test_a_webhook_that_does_not_answer_holds_up_nobody_but_the_thread_that_posts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = threading.Event(), threading.Event()

    def slow(*_: object) -> webhook.WebhookAnswer:
        asked.set()
        assert answers.wait(30)
        return webhook.WebhookAnswer(True)

    assert tell(failure(0), upkeep(tmp_path, AWAY))
    monkeypatch.setattr(alerts, "post", slow)
    settings = upkeep(tmp_path, AWAY).settings()
    thread = threading.Thread(target=post_due, args=(settings, lambda: AT_NS + 60 * S))
    thread.start()
    try:
        assert asked.wait(30)
        assert tell(failure(1), upkeep(tmp_path, AWAY, 61))  # it returns while the other thread waits
        assert len(events(settings)) == 2
    finally:
        answers.set()
        thread.join()
    assert told(tmp_path) == {}


def test_an_alert_of_a_process_that_was_killed_is_posted_by_the_next_one(tmp_path: Path) -> None:
    child = f"""
import os, signal
from tests.orchestration.failures.test_posting import FAILURE, tell, upkeep
from pathlib import Path
assert tell(FAILURE, upkeep(Path({str(tmp_path)!r}), {AWAY!r}))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run(
        [sys.executable, "-c", child], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    hook = Hook()
    with served(hook) as url:
        assert post_due(upkeep(tmp_path, url).settings(), lambda: AT_NS + 5 * S) == 1
    assert [body["run_id"] for body in hook.bodies] == ["run-1"]


def test_alerts_that_an_older_version_left_are_posted(tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "failures.json").write_text(
        '{"raised": {"pipeline.failure": {"closed_day": 1}}, "told": ["pipeline.failure:run-9"], "untold":'
        ' {"pipeline.failure:run-9": {"name": "pipeline.failure", "key": "run-9", "label": "closed_day", "body": "b",'
        ' "attributes": {"run_id": "run-9"}, "at_ns": 1, "posted": false, "said": true}}}'
    )
    hook = Hook()
    with served(hook) as url:
        assert post_due(upkeep(tmp_path, url).settings(), lambda: AT_NS) == 1
    assert [body["run_id"] for body in hook.bodies] == ["run-9"]
