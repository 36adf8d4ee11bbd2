"""The commands of docker-compose.yml as separate processes, without containers, on a real Kafka, OpenSearch and S3.

They share no file but the keys, as in the compose file; what stands there for URLs and ports is exchanged. Where the
test may make a mount namespace, they are confined as there too: a read-only root, their volume as the file says, memory
on /tmp, no capabilities, no new privileges.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.engines.kafka import Kafka
from scripts.engines.opensearch import OpenSearch
from scripts.engines.s3 import S3
from tests.deploy.reading import ROOT, SERVICES
from tests.ports import free_port
from tests.waiting import until

RECORDS = 300
DATA = "/srv"  # where the volume is mounted: a folder that every Linux has
CONFINE = f"""
set -eu
mount --make-rprivate /
mount --bind "$1" {DATA}
mount -t tmpfs tmpfs /tmp
for each in $(awk '$5 !~ "^/(proc|sys|dev|tmp|srv)" {{ print $5 }}' /proc/self/mountinfo); do
    mount -o remount,bind,ro "$each" 2>/dev/null || true
done
if [ "$2" = ro ]; then mount -o remount,bind,ro {DATA}; fi
shift 2
cd /tmp
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
TRY = f"""
import headwater, os
def writable(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    os.unlink(path)
    return True
assert writable("/tmp/x") and not writable("/x") and not writable("{DATA}/x") and not writable("{ROOT}/x")
"""


@dataclass(frozen=True)
class Stack:
    """Base URLs by service, and keys by role."""

    urls: Mapping[str, str]
    keys: Mapping[str, str]

    def ask(self, service: str, role: str, method: str, path: str, **how: Any) -> Any:
        url = f"{self.urls[service]}{path}"
        answer = httpx.request(method, url, headers={"X-API-Key": self.keys[role]}, timeout=30, **how)
        return answer.raise_for_status().json()


def confined(folder: Path, mode: str, command: list[str]) -> list[str]:
    """`command` in a namespace of its own, with `folder` at `DATA`: "ro" or "rw"."""
    return ["unshare", "--mount", "bash", "-c", CONFINE, "confine", str(folder), mode, *command]


@pytest.fixture(scope="module")
def can_confine(tmp_path_factory: pytest.TempPathFactory) -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return False
    tried = confined(tmp_path_factory.mktemp("volume"), "ro", [sys.executable, "-c", TRY])
    done = subprocess.run(tried, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=False)
    return done.returncode == 0


def words(command: list[str]) -> list[str]:
    return [sys.executable, *command[1:]] if command[0] == "python" else [sys.executable, "-m", *command]


@contextlib.contextmanager
def started(name: str, environment: Mapping[str, str], folder: Path, can_confine: bool) -> Iterator[str]:
    """A service with its command, ready by its own check; its base URL. Must end by itself after SIGTERM."""
    service, port = SERVICES[name], str(free_port())
    own = {key: value for key, value in service["environment"].items() if not key.startswith("HEADWATER_")}
    own |= {key: port for key in own if key.endswith("_PORT")}
    command = words(service["command"])
    if can_confine:
        command = confined(folder, "ro" if service["volumes"][0].endswith(":ro") else "rw", command)
        environment = {**environment, "HEADWATER_DATA_DIR": DATA}
    check = re.sub(r"(127\.0\.0\.1):\d+", rf"\1:{port}", service["healthcheck"]["test"][-1])
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environment, **own, "HEADWATER_PORT": port, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=log,
            stderr=log,
        )
    try:
        passes = [sys.executable, "-c", check]
        try:
            until(
                lambda: subprocess.run(passes, capture_output=True, check=False).returncode == 0, f"{name} passing", 90
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{(folder / f'{name}.log').read_text()[-3000:]}") from error
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        assert process.wait(30) == 0, (folder / f"{name}.log").read_text()[-3000:]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def stack(kafka: Kafka, opensearch: OpenSearch, s3: S3, tmp_path: Path, can_confine: bool) -> Iterator[Stack]:
    run = f"t{uuid.uuid4().hex[:12]}"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")},
        **s3.environment,
        "PYTHONPATH": str(ROOT),
        "HEADWATER_DATA_DIR": str(tmp_path),
        "HEADWATER_BUS_URL": f"{kafka.url}/{run}",
        "HEADWATER_BUS_GROUP": run,
        "HEADWATER_HOT_URL": opensearch.url,
        "HEADWATER_OPENSEARCH_PREFIX": run,
        "HEADWATER_LAKE_URL": f"{s3.url}/{run}",
    }
    subprocess.run(words(SERVICES["topics"]["command"]), cwd=tmp_path, env=environment, check=True)
    keys = {}
    for role in ("ingest", "read"):
        command = words([*SERVICES["cli"]["entrypoint"], "keys", "create", "--tenant", run, "--role", role])
        made = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
        keys[role] = made.stdout.strip()
    with contextlib.ExitStack() as running:
        names = ("ingest", "query", "flow")
        urls = {name: running.enter_context(started(name, environment, tmp_path, can_confine)) for name in names}
        print("\nconfined" if can_confine else "\nnot confined: no mount namespace to be had here")
        yield Stack(urls, keys)


def test_records_pass_through_all_services_and_are_accounted_for(stack: Stack) -> None:
    lines = "\n".join(json.dumps({"body": f"hello {number}", "service": "shop"}) for number in range(RECORDS))
    media = {"content": lines}
    assert stack.ask("ingest", "ingest", "POST", "/logs", **media)["accepted"] == RECORDS

    def found() -> int:
        params = {"q": "hello", "limit": RECORDS * 2}
        return len(stack.ask("query", "read", "GET", "/logs/search", params=params)["records"])

    until(lambda: found() == RECORDS)

    def account() -> Any:
        accounts = stack.ask("query", "read", "GET", "/conservation")["accounts"]
        return next(each for each in accounts if each["kind"] == "logs")

    until(lambda: bool(account()["visible"] == RECORDS))
    assert account()["difference"] == 0
    assert found() == RECORDS
