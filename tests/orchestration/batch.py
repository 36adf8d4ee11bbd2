"""`headwater up` with its batch tiers, for tests: started for real, with the address of Dagster's UI."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from contracts.tenants import Role
from headwater.running import running
from tests.headwater.platform import Platform
from tests.headwater.processes import children_of, output, started
from tests.waiting import until


@contextlib.contextmanager
def with_batch(folder: Path, env: Mapping[str, str] | None = None) -> Iterator[tuple[Platform, str]]:
    """The platform over `<folder>/data`, and the URL of Dagster's UI once it answers."""
    (folder / "output").unlink(missing_ok=True)  # of an earlier start
    words = ("up", "--data-dir", str(folder / "data"), "--port", "0")
    given = {"HEADWATER_LAKE_COMMIT_S": "1", "HEADWATER_DAGSTER_PORT": "0", **(env or {})}
    with started(folder, "-m", "headwater", *words, env=given) as process:
        until(lambda: "everything is ready" in output(folder) or process.poll() is not None, "being ready", 120)
        up = Platform(folder, process)
        until(lambda: "batch ready" in output(folder), "the batch tiers being ready", 90)
        here = running(up.settings.data)
        assert here, output(folder)
        yield up, here.batch_url


def pid_of_batch(up: Platform) -> int:
    """Of the process that holds daemon, code and UI; 0 while there is none."""
    with contextlib.suppress(IndexError):  # one that just died has no words
        return children_of(up.process.pid).get("headwater.supervision.batch", 0)
    return 0


def failures_told(up: Platform) -> str:
    """The events `pipeline.failure`, as the API answers."""
    with up.client(Role.READ) as client:
        return client.get("/events/search", params={"q": "name:pipeline.failure"}).text


def failures_counted(up: Platform, job: str) -> float:
    """By the service's metrics."""
    name = f'headwater_pipeline_failures_total{{job="{job}"}} '
    lines = httpx.get(f"{up.url}/metrics").text.splitlines()
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)
