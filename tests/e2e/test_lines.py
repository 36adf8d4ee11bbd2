"""Lines of common programs as a user meets them: shipped by a real agent and sent over HTTP, then read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents import run_logs
from contracts.settings import Settings, load_settings
from contracts.tenants import Role
from headwater.keyring import local_key
from tests.headwater.platform import Platform, platform
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "tests" / "cases" / "lines", ROOT.parent / "shared" / "cases" / "lines")  # the second may be missing

# Local texts around the changes of 2026 -> the instant. The doubled hour of November takes the reading nearest to now.
ZONES = {
    "America/New_York": {
        "2026-03-08 01:59:59,500 ERROR before summer": "2026-03-08T06:59:59.500000Z",
        "2026-03-08 03:00:00,500 ERROR summer": "2026-03-08T07:00:00.500000Z",
        "2026-11-01 00:59:59,500 ERROR still summer": "2026-11-01T04:59:59.500000Z",
        "2026-11-01 01:30:00,500 ERROR twice": "2026-11-01T06:30:00.500000Z",
        "2026-11-01 02:00:00,500 ERROR winter": "2026-11-01T07:00:00.500000Z",
        "2026/11/30 14:40:07 [error] 1#1: nginx": "2026-11-30T19:40:07.000000Z",
    },
    "Asia/Kolkata": {
        "2026-11-30 19:40:07 INFO half an hour beside": "2026-11-30T14:10:07.000000Z",
        "2026-11-30 19:40:07Z INFO with a zone of its own": "2026-11-30T19:40:07.000000Z",
    },
    "UTC": {"2026-11-30 19:40:07 INFO as it is": "2026-11-30T19:40:07.000000Z"},
}


def cases() -> dict[str, dict[str, Any]]:
    """By a name that no other has; a case without name is called by its line."""
    found: dict[str, dict[str, Any]] = {}
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.jsonl")):
            for number, line in enumerate(path.read_text().splitlines()):
                found[f"{folder.parent.parent.name}-{path.stem}-{number}"] = json.loads(line)
    return found


CASES = cases()


class Read:
    """What the platform has made of everything that was sent, by (sender, name of the case)."""

    def __init__(self, up: Platform, folder: Path) -> None:
        self._up, self._folder = up, folder
        self.settings = load_settings(
            ingest_url=up.url,
            api_key=local_key(up.settings, Role.INGEST),
            agent_dir=folder / "agent",
            agent_poll_s=0.02,
            agent_partial_line_s=0.2,
            agent_multiline_s=0.2,
            _env_file=None,
        )
        self.records: dict[tuple[str, str], dict[str, Any]] = {}

    def by_agent(self) -> None:
        (self._folder / "logs").mkdir()
        for name, case in CASES.items():
            (self._folder / "logs" / name).write_text(case["line"] + "\n")
        assert ship(self.settings, self._folder / "logs" / "*", "agent", "UTC") == 0

    def by_http(self) -> None:
        sent = [{"service": "http", "attributes": {"case": name}, "body": case["line"]} for name, case in CASES.items()]
        with self._up.client(Role.INGEST) as client:
            answer = client.post("/logs", json=sent)
        assert (answer.status_code, answer.json()["rejected"]) == (202, []), answer.text

    def by_zones(self) -> None:
        for zone, texts in ZONES.items():
            path = self._folder / f"{zone.replace('/', '-')}.log"
            path.write_text("".join(f"{text}\n" for text in texts))
            assert ship(self.settings, path, zone, zone) == 0

    def wait(self) -> None:
        wanted = 2 * len(CASES) + sum(map(len, ZONES.values()))
        until(lambda: len(self._look("hot")) >= wanted and len(self._look("lake")) >= wanted, "all being stored")
        for record in self._look("hot"):
            attributes = record["attributes"]
            name = attributes.get("case") or attributes["log.file.name"]
            self.records[record["service"], record["body"] if record["service"] in ZONES else name] = record

    def _look(self, tier: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params: dict[str, Any] = {"q": "*", "start": "1980-01-01", "end": "2100-01-01", "limit": 1000, "tiers": tier}
        with self._up.client(Role.READ) as client:
            while True:
                answer = client.get("/logs/search", params=params).json()
                found += answer["records"]
                if not answer["next_cursor"]:
                    return found
                params["cursor"] = answer["next_cursor"]


def ship(settings: Settings, path: Path, service: str, zone: str) -> int:
    name = service.replace("/", "-")
    return run_logs(settings, [str(path)], service=service, host="h1", name=name, until_idle=True, timezone=zone)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Read]:
    folder = tmp_path_factory.mktemp("lines")
    with platform(folder) as up:
        made = Read(up, folder)
        made.by_agent()
        made.by_http()
        made.by_zones()
        made.wait()
        yield made


@pytest.mark.parametrize("sender", ["agent", "http"])
def test_every_line_is_read_as_its_program_means_it(read: Read, sender: str) -> None:
    wrong = [fault for name, case in CASES.items() for fault in faults(case, read.records[sender, name])]
    assert not wrong, "\n".join(wrong)


def faults(case: dict[str, Any], found: dict[str, Any]) -> Iterator[str]:
    """A case without a time has that of its reading; one with a `zone` gives the time in that zone."""
    for key in ("severity_text", "timestamp"):
        is_known = case.get(key) is not None and not (key == "timestamp" and case.get("zone"))
        if is_known and found[key] != case[key]:
            yield f"{case['line'][:90]!r}: {key} is {found[key]!r}, wanted {case[key]!r}"
    wanted = case.get("expect") or case.get("attributes") or {}
    if lacks := {key: value for key, value in wanted.items() if found["attributes"].get(key) != value}:
        yield f"{case['line'][:90]!r}: lacks {lacks}, has {found['attributes']}"


@pytest.mark.parametrize(("zone", "text"), [(zone, text) for zone, texts in ZONES.items() for text in texts])
def test_a_text_without_a_zone_stands_at_its_true_instant(read: Read, zone: str, text: str) -> None:
    assert read.records[zone, text]["timestamp"] == ZONES[zone][text]
