"""A lake of its own on the session's S3 server: settings, writers with patience, and what is stored."""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from flows.patience import patiently
from lakehouse.lake.store import Lake
from lakehouse.lake.writer import LakeWriter
from scripts.engines.s3 import S3
from tests.lakehouse.lake_samples import ACME, batch, log
from tests.settings import settings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

ROWS = 5


@dataclasses.dataclass
class Place:
    """`url` is new and empty; `settings` name the server and its keys, with timeouts for tests."""

    url: str
    settings: Settings

    def lake(self) -> Lake:
        return Lake(self.url, self.settings)

    def writer(self) -> LakeWriter:
        """Without the race, which takes its time behind a double."""
        return LakeWriter(self.url, Kind.LOGS, self.settings)


def place_on(engine: S3, folder: Path, **given: Any) -> Place:
    quick = {"s3_query_timeout_s": 1, "s3_write_timeout_s": 2, "s3_connect_timeout_s": 1}
    keys = {
        "s3_endpoint": engine.endpoint,
        "s3_access_key": engine.environment["AWS_ACCESS_KEY_ID"],
        "s3_secret_key": engine.environment["AWS_SECRET_ACCESS_KEY"],
    }
    bucket = engine.url.removeprefix("s3://").partition("/")[0]
    url = f"s3://{bucket}/{uuid.uuid4().hex}"
    return Place(url, settings(data_dir=folder, **{**quick, **keys, **given}))


def lines(offset: int) -> Batch:
    return batch(*(log(index, f"{offset}-{index}") for index in range(ROWS)), offset=offset)


class Writing(threading.Thread):
    """Commits one batch after the other, as a flow does: with patience, until told to end."""

    def __init__(self, writer: LakeWriter, batches: int) -> None:
        super().__init__(daemon=True)
        self._writer, self._batches = writer, batches
        self.committed = 0
        self.stop = threading.Event()

    def run(self) -> None:
        for offset in range(self._batches):
            self._writer.append([lines(offset)])
            if not patiently("committing the lake", self._writer.commit, self.stop):
                return
            self.committed = offset + 1


def counts(lake: Lake) -> tuple[int, int, int]:
    """Rows, distinct rows, and rows by the ledger."""
    sql = "SELECT count(*) AS n, count(DISTINCT body) AS bodies FROM logs"
    (row,) = lake.snapshot(Kind.LOGS).query(sql).to_pylist()
    totals = lake.ledger(ACME)
    return row["n"], row["bodies"], sum(total.landed for total in totals)


def all_of(batches: int) -> tuple[int, int, int]:
    return batches * ROWS, batches * ROWS, batches * ROWS


def client_of(engine: S3) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=engine.endpoint,
        region_name=engine.environment["AWS_REGION"],
        aws_access_key_id=engine.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=engine.environment["AWS_SECRET_ACCESS_KEY"],
    )


def eventually(ask: Callable[[], T], timeout_s: float = 20) -> T:
    """The answer, once there is one: a lake that failed is left alone for a moment."""
    ends_s = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except StoreError:
            if time.monotonic() > ends_s:
                raise
            time.sleep(0.1)
