"""The lake on a real S3 server: found by others, proved, cleaned up, behind TLS, and flows that wait for it."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable

from contracts.messages import Kind
from lakehouse.s3.probe import check_bucket, race
from lakehouse.s3.store import object_store
from scripts.engines.s3 import S3
from tests.lakehouse.lake_samples import NOON_NS, batch, log, metric
from tests.real.s3_lake import Place, Writing, all_of, client_of, counts, place_on
from tests.real.s3_proxy import Fault, FaultyS3, is_commit

ROOT = Path(__file__).resolve().parents[2]
COUNT = """
import sys, pyarrow as pa
from deltalake import DeltaTable, QueryBuilder
query = QueryBuilder().register("t", DeltaTable(sys.argv[1])).execute("SELECT count(*) AS n FROM t")
print(pa.RecordBatchReader.from_stream(query).read_all().to_pylist()[0]["n"])
"""
OLD_S = 25 * 3600


def run(code: str, *arguments: str, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HEADWATER_"))}
    words = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(words, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def test_deltalake_alone_counts_the_same_rows(s3: S3, tmp_path: Path) -> None:
    place = place_on(s3, tmp_path)
    lake = place.lake()
    for kind, row in ((Kind.LOGS, log()), (Kind.METRICS, metric(0, 1.5))):
        writer = lake.writer(kind)
        for offset in range(4):
            writer.append([batch(row, row, offset=offset, kind=kind, received_ns=NOON_NS)])
            writer.commit()
    ours = {size.kind: size for size in lake.tables()}
    lake.close()

    for name in ("logs", "metrics"):
        assert run(COUNT, f"{place.url}/{name}", **s3.environment) == str(ours[name].rows) == "8"
        assert ours[name].bytes > 0


def test_the_server_of_the_tests_wins_a_long_race_and_keeps_nothing_of_it(s3: S3, tmp_path: Path) -> None:
    place = place_on(s3, tmp_path)
    store = object_store(place.url, place.settings)
    assert store is not None
    client = store.client(10)

    assert race(store, client, check_bucket(store, client), keys=200).fair
    assert keys_of(s3, place) == []


def test_a_start_remembers_the_server(s3: S3, tmp_path: Path) -> None:
    raced = []
    with FaultyS3(s3.endpoint) as counted:
        for _ in range(2):
            lake = place_on(s3, tmp_path, s3_endpoint=counted.url).lake()
            lake.writer(Kind.LOGS)
            lake.close()
            raced.append(sum("_headwater_probe" in path for _, path in counted.seen))
    assert raced[0] == raced[1] > 600


def test_vacuum_deletes_what_a_failed_write_left_and_nothing_else(s3: S3, tmp_path: Path, engines_home: Path) -> None:
    place = place_on(s3, tmp_path)
    with FaultyS3(s3.endpoint) as faulty:
        hasty = place.settings.model_copy(update={"s3_endpoint": faulty.url, "s3_write_timeout_s": 0.5})
        writer = Place(place.url, hasty).writer()
        faults = [Fault(status=503)] * 8  # more than one write tries: its file stays behind
        faulty.script = lambda method, path: faults.pop() if faults and is_commit(method, path) else None
        Writing(writer, 3).run()
    lake, folder = place.lake(), folder_of(engines_home, place)
    stored = {str(path.relative_to(folder)) for path in folder.glob("*/day=*/*.parquet")}
    orphans = stored - {f"{name}/{path}" for name in ("logs", "ledger") for path in files_of(s3, place, name)}
    assert orphans, "no file was left behind"
    assert lake.vacuum(dry_run=True).files == []
    old_s = time.time() - OLD_S
    for path in stored:
        os.utime(folder / path, (old_s, old_s))

    assert set(lake.vacuum(dry_run=True).files) == orphans
    assert all((folder / path).exists() for path in stored)
    assert set(lake.vacuum().files) == orphans
    assert {path for path in stored if (folder / path).exists()} == stored - orphans
    assert counts(lake) == all_of(3)
    assert lake.vacuum().files == []
    lake.close()


def test_vacuum_aborts_old_uploads_of_this_lake_alone(s3: S3, tmp_path: Path) -> None:
    place, other = place_on(s3, tmp_path), place_on(s3, tmp_path)
    lake, client = place.lake(), client_of(s3)
    for each in (place, other):
        bucket, _, prefix = each.url.removeprefix("s3://").partition("/")
        key = f"{prefix}/logs/day=2026-03-04/part.parquet"
        upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        client.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 1000)
        client.put_object(Bucket=bucket, Key=f"{prefix}/_headwater_probe/killed/1", Body=b"")
    assert lake.vacuum().uploads == []
    later = lake.vacuum(dry_run=True, clock=lambda: time.time() + OLD_S)
    assert (len(later.uploads), len(later.probes), len(uploads_of(s3, place))) == (1, 1, 1)
    done = lake.vacuum(clock=lambda: time.time() + OLD_S)

    assert (len(done.uploads), len(done.probes)) == (1, 1)
    assert (uploads_of(s3, place), len(uploads_of(s3, other))) == ([], 1)
    assert not [key for key in keys_of(s3, place) if "probe" in key]
    assert [key for key in keys_of(s3, other) if "probe" in key]
    lake.close()


WRITE = """
import sys
from contracts.errors import HeadwaterError
from contracts.messages import Kind
from lakehouse.lake.store import Lake
from tests.real.s3_lake import Writing, counts
from tests.settings import settings
lake = Lake(sys.argv[1], settings())
try:
    Writing(lake.writer(Kind.LOGS), 2).run()
    print(counts(lake))
except HeadwaterError as error:
    print(error, error.hint)
try:
    print(lake.checkpoints(Kind.LOGS))
except HeadwaterError as error:
    print(error, error.hint)
"""


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl to make a certificate with")
def test_a_private_authority_is_trusted_when_it_is_named(s3: S3, tmp_path: Path) -> None:
    make_certificate(tmp_path)
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    place = place_on(s3, tmp_path)
    with FaultyS3(s3.endpoint, trust) as secure:
        given = {
            "HEADWATER_DATA_DIR": str(tmp_path),
            "HEADWATER_S3_ENDPOINT": secure.url,
            "HEADWATER_S3_ACCESS_KEY": s3.environment["AWS_ACCESS_KEY_ID"],
            "HEADWATER_S3_SECRET_KEY": s3.environment["AWS_SECRET_ACCESS_KEY"],
        }
        refused = run(WRITE, place.url, **given).splitlines()
        taken = run(WRITE, place.url, HEADWATER_S3_CA_FILE=str(tmp_path / "ca.pem"), **given)

    assert [("certificate of S3 is not trusted" in line, "HEADWATER_S3_CA_FILE" in line) for line in refused] == [
        (True, True)
    ] * 2
    assert taken == f"{all_of(2)}\n{{0: 2}}"


def make_certificate(folder: Path) -> None:
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    for words in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.pem -subj /CN=authority",
        "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out server.pem",
    ):
        subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)


def keys_of(engine: S3, place: Place) -> list[str]:
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    listed = client_of(engine).list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/")
    return [each["Key"] for each in listed.get("Contents", ())]


def files_of(engine: S3, place: Place, name: str) -> list[str]:
    table = DeltaTable(f"{place.url}/{name}", storage_options=dict(engine.environment))
    return [uri.removeprefix(f"{place.url}/{name}/") for uri in table.file_uris()]


def uploads_of(engine: S3, place: Place) -> list[str]:
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    listed = client_of(engine).list_multipart_uploads(Bucket=bucket, Prefix=f"{prefix}/")
    return [each["Key"] for each in listed.get("Uploads", ())]


def folder_of(engines_home: Path, place: Place) -> Path:
    """Where the server keeps the objects of `place`, as plain files."""
    return engines_home / "s3" / "data" / place.url.removeprefix("s3://")
