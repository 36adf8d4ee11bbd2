from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import ConfigError
from contracts.tenants import Role, Tenant
from headwater.commands.search import Filters, _printable
from headwater.keyring import local_key
from tests.headwater.platform import Platform, platform
from tests.headwater.processes import children_of, headwater, output, started
from tests.waiting import until
from web.keys import create_key

COUNT = 2500


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with platform(tmp_path_factory.mktemp("up")) as running:
        now_s = time.time()
        records = [
            {
                "body": f"line {number}",
                "service": "shop" if number % 10 else "till",
                "level": "error" if number % 100 == 0 else "info",
                "timestamp": now_s - 60 + number / 1000,
            }
            for number in range(COUNT)
        ]
        running.send(records, "all")
        until(lambda: running.has(COUNT), "the records being stored")
        yield running


def search(up: Platform, *words: str, **env: str) -> tuple[int, str, str]:
    done = headwater(up.folder, "search", *words, "--data-dir", str(up.settings.data), env=env)
    return done.returncode, done.stdout, done.stderr


def test_json_follows_every_page_newest_first_and_each_record_is_there_once(up: Platform) -> None:
    code, out, _ = search(up, "line", "--json", "--limit", "0")
    bodies = [json.loads(line)["body"] for line in out.splitlines()]
    assert code == 0
    assert bodies == [f"line {number}" for number in reversed(range(COUNT))]


def test_a_limit_across_pages_is_kept(up: Platform) -> None:
    _, out, _ = search(up, "--json", "--limit", "1500")
    assert len(out.splitlines()) == 1500


def test_query_service_and_level_narrow_the_answer(up: Platform) -> None:
    code, out, err = search(up, "line", "--service", "till", "--level", "error", "--limit", "0")
    assert code == 0
    assert len(out.splitlines()) == 25
    assert all(" ERROR till " in line for line in out.splitlines())
    assert "25 records" in err


def test_a_long_line_is_printed_whole(up: Platform) -> None:
    up.send([{"body": "long " + "x" * 500, "service": "lengthy"}], "long")
    until(lambda: search(up, "--service", "lengthy")[1], "the line being found")
    _, out, _ = search(up, "--service", "lengthy")
    assert out.rstrip("\n").endswith("long " + "x" * 500)


def test_a_query_that_begins_with_a_minus_is_no_option(up: Platform) -> None:
    code, out, err = search(up, "-level:info", "--json", "--limit", "0", "--service", "till")
    assert (code, len(out.splitlines())) == (0, 25), err
    place = {"HEADWATER_DATA_DIR": str(up.settings.data)}
    done = headwater(up.folder, "search", "--limit", "1", "--service", "till", "--", "-service:shop", env=place)
    assert (done.returncode, " till " in done.stdout) == (0, True), done.stderr
    code, _, err = search(up, "--sevrice", "till")
    assert (code, "sevrice" in err) == (2, True)


def test_start_end_and_order_say_which_records_and_in_which_order(up: Platform) -> None:
    _, out, _ = search(up, "line", "--json", "--limit", "0", "--order", "asc")
    times = [json.loads(line)["timestamp"] for line in out.splitlines()]
    assert times == sorted(times)
    span = ("--start", times[100], "--end", times[103])
    code, out, _err = search(up, "line", "--json", *span, "--order", "asc")
    assert (code, [json.loads(line)["timestamp"] for line in out.splitlines()]) == (0, times[100:103])
    assert f"from {times[100]} to {times[103]}" in search(up, "line", *span)[2]
    assert len(search(up, "line", "--json", "--end", times[5], "--limit", "0")[1].splitlines()) == 5


@pytest.mark.parametrize(
    ("words", "tell"),
    [
        (("--since", "1h", "--start", "now-1h"), "--since and --start"),
        (("--follow", "--end", "now"), "--follow"),
        (("--follow", "--order", "asc"), "--follow"),
        (("--start", "2026-11-29", "--end", "2026-11-29"), "end=2026-11-30"),
        (("--order", "up"), "asc"),
    ],
)
def test_options_that_exclude_each_other_are_refused(up: Platform, words: tuple[str, ...], tell: str) -> None:
    code, out, err = search(up, "x", *words)
    assert (code, out, tell in err) == (2, "", True), err


def test_there_being_more_is_said(up: Platform) -> None:
    _, out, err = search(up, "--limit", "10")
    assert len(out.splitlines()) == 10
    assert "there are more" in err


def test_a_mistake_in_the_query_is_shown_at_its_place_without_a_traceback(up: Platform) -> None:
    code, _, err = search(up, "line AND (body:x")
    assert code == 2
    assert "line AND (body:x" in err
    assert "^" in err
    assert "Traceback" not in err


def test_following_prints_what_arrives_once(up: Platform, tmp_path: Path) -> None:
    words = ("search", "fresh", "--follow", "--json", "--data-dir", str(up.settings.data))
    with started(tmp_path, "-u", "-m", "headwater", *words):
        up.send([{"body": "fresh 1"}], "f1")
        until(lambda: "fresh 1" in output(tmp_path), "the first record being shown")
        up.send([{"body": "fresh 2"}], "f2")
        until(lambda: "fresh 2" in output(tmp_path), "the second record being shown")
    assert [json.loads(line)["body"] for line in output(tmp_path).splitlines()] == ["fresh 1", "fresh 2"]


def test_without_a_key_the_error_says_how_to_get_one(up: Platform, tmp_path: Path) -> None:
    done = headwater(tmp_path, "search", "x", env={"HEADWATER_QUERY_URL": up.url})
    assert done.returncode == 2
    assert "HEADWATER_API_KEY" in done.stderr
    assert "headwater keys create" in done.stderr


def test_a_key_that_may_not_read_is_refused_in_words(up: Platform) -> None:
    token = create_key(up.settings.keys_file, Tenant("others"), Role.INGEST).token
    until(lambda: "403" in search(up, HEADWATER_API_KEY=token)[2], "the new key being known")
    code, _, err = search(up, HEADWATER_API_KEY=token)
    assert code == 2
    assert "headwater keys create" in err


def test_an_ingest_key_exported_for_an_agent_does_not_stand_in_the_way(up: Platform) -> None:
    code, out, _ = search(up, "--limit", "1", HEADWATER_API_KEY=local_key(up.settings, Role.INGEST))
    assert (code, len(out.splitlines())) == (0, 1)


def test_an_empty_answer_says_how_far_it_looked_back(up: Platform) -> None:
    code, out, err = search(up, "nothinglikeit", "--since", "5m")
    assert (code, out) == (0, "")
    assert "0 records of the last 5m" in err
    assert "--since" in err


def test_a_service_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    env = {"HEADWATER_QUERY_URL": "http://127.0.0.1:9", "HEADWATER_API_KEY": "hw_a_b"}
    done = headwater(tmp_path, "search", "x", env=env)
    assert done.returncode == 2
    assert "headwater up" in done.stderr


def test_the_agent_ships_a_file_and_its_status_says_so(up: Platform, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("shipped 1\nshipped 2\nshipped 3\n")
    env = {"HEADWATER_INGEST_URL": up.url, "HEADWATER_API_KEY": local_key(up.settings, Role.INGEST)}
    words = ("agent", "logs", "--path", str(tmp_path / "*.log"), "--service", "files", "--exit-when-idle")
    done = headwater(tmp_path, *words, env=env)
    assert done.returncode == 0, done.stderr
    until(lambda: len(search(up, "shipped", "--service", "files")[1].splitlines()) == 3, "the lines being found")
    (status,) = json.loads(headwater(tmp_path, "agent", "status", "--json").stdout)
    assert (status["name"], status["state"], status["sent_records"]) == ("logs", "stopped", 3)
    assert "logs" in headwater(tmp_path, "agent", "status").stdout


def test_only_the_keys_of_the_first_start_open_the_service(up: Platform) -> None:
    with up.client(Role.READ) as client:
        assert client.get("/logs/search").status_code == 200
        assert client.get("/logs/search", headers={"Authorization": "Bearer nonsense"}).status_code == 401
        assert client.post("/logs", json=[{"body": "x"}]).status_code == 403


def test_status_of_the_running_service_accounts_for_every_record(up: Platform) -> None:
    done = headwater(up.folder, "status", "--json", "--data-dir", str(up.settings.data))
    facts = json.loads(done.stdout)
    logs = next(entry for entry in facts["accounts"] if entry["kind"] == "logs")
    assert done.returncode == 0
    assert facts["running"]["url"] == facts["accounts_from"] == up.url
    assert logs["received"] >= COUNT
    assert logs["difference"] == 0
    assert next(table for table in facts["lake"] if table["kind"] == "logs")["rows"] >= COUNT
    assert [day["kind"] for day in facts["hot"]].count("logs") >= 1


def test_a_span_of_time_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="15m"):
        Filters(since="yesterday").params()


def test_what_was_logged_cannot_steer_the_terminal() -> None:
    assert _printable("red \x1b[31m\x07 ü") == "red \\x1b[31m\\x07 ü"


def test_following_over_a_killed_service_prints_every_record_once_late_ones_too(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with platform(tmp_path) as up:
        up.send([{"body": "old", "timestamp": time.time() - 30}], "old")
        until(lambda: up.has(1), "the old record being stored")
        words = ("search", "--follow", "--json", "--data-dir", str(up.settings.data))
        with started(tmp_path / "f", "-m", "headwater", *words, env={"HEADWATER_QUERY_URL": up.url}):
            until(lambda: "old" in output(tmp_path / "f"), "what is there already being shown")
            sent = 1
            for burst in range(6):
                at_s = time.time() - (7200 if burst % 2 else 0)  # some are late by their own clock
                for part in range(5):
                    records = [{"body": f"{burst}.{part}.{n}", "timestamp": at_s} for n in range(2000)]
                    up.send(records, f"{burst}-{part}")
                    sent += len(records)
                if burst in (1, 3):
                    os.kill(children_of(up.process.pid)["headwater.supervision.serve"], signal.SIGKILL)
            until(lambda: output(tmp_path / "f").count('"body":') >= sent, f"{sent} records being shown", 120)
        lines = [line for line in output(tmp_path / "f").splitlines() if line.startswith("{")]
        bodies = [json.loads(line)["body"] for line in lines]
    assert len(bodies) == len(set(bodies)) == sent == 60_001
    assert bodies[0] == "old"
