"""Where tests keep Delta tables: below their data folder or, while `BUCKET` names one, in that bucket.

A test that makes its settings from `values` runs unchanged on both; so do its processes, which inherit the environment.
Server and keys are in the standard AWS variables.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.settings import Settings, load_settings
from lakehouse.s3.store import ObjectStore, object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET, ARCHIVE_BUCKET = "TEST_LAKE_BUCKET", "TEST_ARCHIVE_BUCKET"  # s3://bucket/prefix
TIERS = ("lake", "archive")
PATIENT_S = 20.0  # a busy machine is no server that is away


def values(data: Path) -> dict[str, str | float]:
    """Settings of the tables that belong to a data folder; {} where they are below it."""
    if not (lake := os.environ.get(BUCKET)):
        return {}
    name = hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]
    archive = os.environ.get(ARCHIVE_BUCKET, lake)
    urls = {"lake_url": f"{lake}/{name}/lake", "archive_url": f"{archive}/{name}/archive"}
    return {**urls, **keys(os.environ), "s3_query_timeout_s": PATIENT_S, "s3_write_timeout_s": PATIENT_S}


def keys(environment: Mapping[str, str]) -> dict[str, str]:
    """Server and keys as settings: a client's library reads the environment once in a process, and remembers."""
    names = {"endpoint": "ENDPOINT_URL", "access_key": "ACCESS_KEY_ID", "secret_key": "SECRET_ACCESS_KEY"}
    return {f"s3_{name}": environment[f"AWS_{theirs}"] for name, theirs in names.items()}


def environment(data: Path) -> dict[str, str]:
    """The same for a process that takes its settings from the environment alone."""
    return {f"HEADWATER_{name.upper()}": str(value) for name, value in values(data).items()}


def copied(source: Path, target: Path) -> Path:
    """A data folder `target` that is as `source` was, tables and all."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    if theirs := values(source):
        for name in (f"{tier}_url" for tier in TIERS):
            _copy(_store(str(theirs[name])), _store(str(values(target)[name])))
    return target


def remove(settings: Settings, tier: str, but: str = "") -> None:
    """All tables of a tier, except one."""
    url = {"lake": settings.lake, "archive": settings.archive}.get(tier, "")
    if url and (store := object_store(url, settings)):
        for key in _keys(store):
            if key.removeprefix(f"{store.prefix}/").partition("/")[0] != but:
                _client(store).delete_object(Bucket=store.bucket, Key=key)
        return
    for path in (settings.data / tier).iterdir():
        if path.name != but:
            shutil.rmtree(path)


def files(settings: Settings) -> Iterator[tuple[str, bytes]]:
    """Every file of a data folder and of its tables: a path that begins with the tier, and what it holds."""
    for path in sorted(settings.data.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(settings.data)), path.read_bytes()
    for tier, url in zip(TIERS, (settings.lake, settings.archive), strict=True):
        if store := object_store(url, settings):
            for key in _keys(store):
                yield f"{tier}/{key.removeprefix(f'{store.prefix}/')}", _read(store, key)


def read(settings: Settings, path: str) -> bytes:
    """One file of the lake, by its path from there on."""
    store = object_store(settings.lake, settings)
    return _read(store, f"{store.prefix}/{path}") if store else (Path(settings.lake) / path).read_bytes()


def write(settings: Settings, path: str, content: bytes) -> None:
    """A file in the lake that no table knows."""
    if store := object_store(settings.lake, settings):
        _client(store).put_object(Bucket=store.bucket, Key=f"{store.prefix}/{path}", Body=content)
        return
    (Path(settings.lake) / path).parent.mkdir(parents=True, exist_ok=True)
    (Path(settings.lake) / path).write_bytes(content)


def _copy(source: ObjectStore, target: ObjectStore) -> None:
    for key in _keys(source):
        to = target.prefix + key.removeprefix(source.prefix)
        copied_from = {"Bucket": source.bucket, "Key": key}
        _client(target).copy_object(Bucket=target.bucket, Key=to, CopySource=copied_from)  # type: ignore[arg-type]


def _keys(store: ObjectStore) -> list[str]:
    pages = _client(store).get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=f"{store.prefix}/")
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def _read(store: ObjectStore, key: str) -> bytes:
    return _client(store).get_object(Bucket=store.bucket, Key=key)["Body"].read()


_clients: dict[str, S3Client] = {}


def _client(store: ObjectStore) -> S3Client:
    """Made once for a server and its keys: making one takes longer than what it is for."""
    name = f"{store.endpoint} {store.secret_key.get_secret_value()}"
    if name not in _clients:
        _clients[name] = store.client(PATIENT_S)
    return _clients[name]


def _store(url: str) -> ObjectStore:
    store = object_store(url, load_settings(**keys(os.environ)))
    assert store is not None
    return store
