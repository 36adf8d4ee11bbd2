"""S3 probe: a race of conditional writes -> the server is trusted (and remembered), or the start is refused.

A commit is a PUT with `If-None-Match: *`. If a server ignores the header, or checks first and writes later, two writers
win the same version and an acknowledged commit is lost. Two PUTs in sequence cannot show this fault. So the probe lets
threads race for keys, and compares each stored body with the winner's.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from contracts.errors import ConfigError, StoreError
from contracts.files import replace_file
from lakehouse.s3.errors import trouble
from lakehouse.s3.store import ObjectStore

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEYS = 40  # with the least unsafe server known, 3 to 18 of 40 keys had two winners, in each of 40 runs
RACERS = 16
TRUST_H = 168.0  # then the probe runs again: another server may have the same address by now
JUST_NOW_S = 600.0  # `headwater up` has just probed, so its flow need not load the client (25 MiB) and repeat it
TIMEOUT_S = 10.0
PROBE_FOLDER = "_headwater_probe"
_BODY_BYTES = 2048  # about the size of a commit
_MEMORY = "object-stores.json"
_WON = range(200, 300)
_LOST = (409, 412)  # 409: AWS saw two writes at once and took the other one

_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Race:
    """Result of a race: keys with two winners, keys without a winner, keys that hold another body than the winner's."""

    server: str
    keys: int
    doubly: int
    nobody: int
    foreign: int
    refused: str
    took_s: float

    @property
    def fair(self) -> bool:
        return not (self.doubly or self.nobody or self.foreign)


@contextmanager
def s3_errors(store: ObjectStore, what: str) -> Iterator[None]:
    """Turn the errors of the S3 client into `StoreError`."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        text = str(error)
        if isinstance(error, ClientError):
            answer = error.response
            status, code = answer["ResponseMetadata"].get("HTTPStatusCode", ""), answer["Error"]["Code"]
            text = f"S3 error {status} Answer <Code>{code}</Code> {text}"
        known = trouble(text if text.startswith("S3 error") else f"S3 error: {text}")
        words, hint = known or (text, "")
        raise StoreError(f"{what}: {words}, {store.name}", hint=hint, retry_after_s=5) from error


def check_bucket(store: ObjectStore, client: S3Client) -> str:
    """List the bucket and return the server's name from the answer.

    Raises:
        StoreError: The bucket cannot be reached; the message gives the reason.
    """
    with s3_errors(store, "the lake's bucket cannot be used"):
        answer = client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)  # a HEAD gives no reason
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("server", "unnamed"))


def ensure_safe(store: ObjectStore, folder: Path) -> None:
    """Probe each server and bucket once; `folder` remembers a success. Thread-safe, blocks for about a second.

    Raises:
        ConfigError: The server would lose commits.
        StoreError: The race has no result now; the same call may be repeated.
    """
    with _lock:
        place = f"{store.endpoint or 'aws'}/{store.bucket}"
        memory = _read(folder / _MEMORY)
        seen = memory.get(place, {})
        age_s = time.time() - seen.get("probed_s", 0)
        if 0 <= age_s < JUST_NOW_S:
            return
        client = store.client(TIMEOUT_S)
        server = check_bucket(store, client)
        if seen.get("server") == server and 0 <= age_s < TRUST_H * 3600:
            return
        demand_fair(store, race(store, client, server))
        _write(folder / _MEMORY, {**memory, place: {"server": server, "probed_s": int(time.time())}})


def demand_fair(store: ObjectStore, outcome: Race) -> None:
    """Raise ConfigError unless every key has exactly one winner and holds the winner's body."""
    if outcome.fair:
        return
    if outcome.doubly:
        what = f"let {outcome.doubly} of {outcome.keys} keys be written twice"
    elif outcome.foreign:
        what = f"stored a refused body in {outcome.foreign} of {outcome.keys} keys"
    else:
        what = f"refused every write of {outcome.nobody} of {outcome.keys} keys ({outcome.refused})"
    raise ConfigError(
        f"{store.name}, server {outcome.server}, {what} by PUT with If-None-Match: commits of the lake would be lost",
        hint="use AWS S3, or a server with atomic conditional writes, e.g. versitygw 1.8.0; see docs/settings.md",
    )


def race(store: ObjectStore, client: S3Client, server: str, keys: int = KEYS) -> Race:
    """Let `RACERS` threads write each of `keys` new keys at the same time, then delete the keys.

    Raises:
        StoreError: Too many keys have no result, because answers were missing.
    """
    started = time.monotonic()
    folder = "/".join(filter(None, (store.prefix, PROBE_FOLDER, uuid.uuid4().hex)))
    names = [f"{folder}/{number}" for number in range(keys)]
    with s3_errors(store, "the lake's bucket cannot be written"):
        client.put_object(Bucket=store.bucket, Key=f"{folder}/plain", Body=b"")
    try:
        urls = [_signed(store, client, name) for name in names]
        gate = threading.Barrier(RACERS)
        with ThreadPoolExecutor(RACERS) as pool:
            runs = list(pool.map(lambda racer: [_put(store, url, racer, gate) for url in urls], range(RACERS)))
        answers = list(zip(*runs, strict=True))  # per key, one answer of each racer
        return _verdict(store, client, server, names, answers, started)
    finally:
        with s3_errors(store, "keys of the probe cannot be deleted"):
            for name in [*names, f"{folder}/plain"]:
                client.delete_object(Bucket=store.bucket, Key=name)


def _signed(store: ObjectStore, client: S3Client, name: str) -> str:
    with s3_errors(store, "requests cannot be signed"):
        given = {"Bucket": store.bucket, "Key": name, "IfNoneMatch": "*"}
        return client.generate_presigned_url("put_object", Params=given, ExpiresIn=900)


def _put(store: ObjectStore, url: str, racer: int, gate: threading.Barrier) -> int:
    """Write the key and return the HTTP status; 0: no answer. Connects first, so that all threads send at once."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        trust = ssl.create_default_context(cafile=store.ca_file or None)
        connection = http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        try:
            connection.connect()
        finally:
            gate.wait(TIMEOUT_S * 2)
        connection.request("PUT", f"{parts.path}?{parts.query}", _body(racer), {"If-None-Match": "*"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException, threading.BrokenBarrierError):
        return 0
    finally:
        connection.close()


def _body(racer: int) -> bytes:
    return f"{racer:>{_BODY_BYTES}}".encode()


def _verdict(
    store: ObjectStore,
    client: S3Client,
    server: str,
    names: list[str],
    answers: list[tuple[int, ...]],
    started: float,
) -> Race:
    winners = [[racer for racer, status in enumerate(each) if status in _WON] for each in answers]
    refusals = Counter(status for each in answers for status in each if status not in _WON and status not in _LOST)
    doubly = sum(len(each) > 1 for each in winners)
    answered = [not any(status == 0 or (status >= 500 and status != 501) for status in each) for each in answers]
    if sum(answered) * 2 < len(names) and not doubly:
        raise StoreError(
            f"{store.name} did not answer requests for {len(names) - sum(answered)} of {len(names)} keys of the "
            "start-up probe",
            hint="Headwater retries; see the log of the S3 server",
            retry_after_s=5,
        )
    foreign = 0
    with s3_errors(store, "keys of the probe cannot be read"):
        for name, won in zip(names, winners, strict=True):
            if len(won) == 1:
                stored = client.get_object(Bucket=store.bucket, Key=name)["Body"].read()
                foreign += stored != _body(won[0])
    return Race(
        server=server,
        keys=len(names),
        doubly=doubly,
        nobody=sum(not won and complete for won, complete in zip(winners, answered, strict=True)),
        foreign=foreign,
        refused=", ".join(f"{count} answers {status}" for status, count in sorted(refusals.items())),
        took_s=time.monotonic() - started,
    )


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # nothing is remembered: the probe runs again
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, memory: Mapping[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps(memory, indent=1).encode(), sync=False, shared=True)
    except OSError:  # the only harm is a second at the next start
        return
