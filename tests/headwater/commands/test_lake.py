"""The command and the lake: an unsafe S3 server is refused, an absent one waited for; vacuum can tell, then delete."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from contracts.messages import Kind
from lakehouse.lake.store import Lake
from tests.headwater.processes import headwater, output, started
from tests.lakehouse.lake_samples import batch, log
from tests.lakehouse.object_store_server import LOOKS_FIRST, serving
from tests.ports import free_port
from tests.settings import settings
from tests.waiting import until


def names(url: str) -> dict[str, str]:
    return {
        "HEADWATER_LAKE_URL": "s3://bucket/lake",
        "HEADWATER_S3_ENDPOINT": url,
        "HEADWATER_S3_ACCESS_KEY": "a",
        "HEADWATER_S3_SECRET_KEY": "a-secret",
        "HEADWATER_S3_QUERY_TIMEOUT_S": "1",
    }


def test_up_refuses_a_server_that_would_lose_commits(tmp_path: Path) -> None:
    with serving(LOOKS_FIRST) as server:
        done = headwater(tmp_path, "up", "--no-batch", "--port", str(free_port()), env=names(server.url))
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2
    assert "be written twice" in said
    assert server.url in said
    assert "versitygw" in said


def test_doctor_names_a_server_that_would_lose_commits(tmp_path: Path) -> None:
    with serving(LOOKS_FIRST) as server:
        done = headwater(tmp_path, "doctor", "--json", env=names(server.url))
    assert done.returncode == 1
    found = json.loads(done.stdout)["lake"]
    assert found["level"] == "fail"
    assert "be written twice" in found["finding"]
    assert "a-secret" not in done.stdout


def test_doctor_names_a_server_that_is_away(tmp_path: Path) -> None:
    found = json.loads(headwater(tmp_path, "doctor", "--json", env=names("http://127.0.0.1:9")).stdout)["lake"]
    assert found["level"] == "fail"
    assert "cannot be reached" in found["finding"]
    assert "HEADWATER_S3_ENDPOINT" in found["advice"]


def test_up_starts_without_a_server_that_is_away_and_says_so(tmp_path: Path) -> None:
    words = ("-m", "headwater", "up", "--no-batch", "--port", str(free_port()))
    with started(tmp_path, *words, env=names("http://127.0.0.1:9")) as process:
        until(lambda: "starting the API and the flow" in output(tmp_path), "a start")
        assert "starting without the lake" in output(tmp_path)
        assert "cannot be reached" in output(tmp_path)
        assert process.poll() is None


def test_vacuum_names_then_deletes_what_a_crash_left_in_a_folder(tmp_path: Path) -> None:
    lake = Lake(str(tmp_path / "data" / "lake"), settings())
    writer = lake.writer(Kind.LOGS)
    writer.append([batch(log(), offset=0)])
    writer.commit()
    lake.close()
    (kept,) = (tmp_path / "data" / "lake" / "logs").glob("day=*/*.parquet")
    orphan = kept.with_name("part-left-by-a-crash.parquet")
    orphan.write_bytes(kept.read_bytes())
    fresh = kept.with_name("part-being-written.parquet")
    fresh.write_bytes(b"")
    old_s = time.time() - 25 * 3600
    for path in (kept, orphan):
        os.utime(path, (old_s, old_s))

    told = headwater(tmp_path, "lake", "vacuum", "--dry-run")
    assert (told.returncode, orphan.name in told.stdout, orphan.exists()) == (0, True, True)
    assert "would delete 1 file" in told.stdout
    done = headwater(tmp_path, "lake", "vacuum")
    assert "deleted 1 file" in done.stdout
    assert (orphan.exists(), kept.exists(), fresh.exists()) == (False, True, True)


def test_vacuum_of_nothing_makes_nothing(tmp_path: Path) -> None:
    done = headwater(tmp_path, "lake", "vacuum")
    assert (done.returncode, done.stdout.strip()) == (0, "none yet")
    assert not (tmp_path / "data").exists()
