"""What the tests of OpenSearch share: an operator's own calls to the engine, and short ways to write and read."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.hot import HotStore
from contracts.messages import Kind
from contracts.query import All, RecordQuery
from tests.lakehouse.lake_samples import ACME, batch


@dataclass(frozen=True)
class Calls:
    endpoint: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Raises StoreError when the engine refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.endpoint + path, data, {"content-type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise StoreError(error.read().decode()) from error

    def get(self, path: str, body: object = None) -> Any:
        return self.call("GET", path, body)


def write(hot: HotStore, *batches: Batch) -> None:
    with contextlib.closing(hot.writer(batches[0].kind)) as writer:
        writer.append(batches)
        writer.commit()


def bodies(hot: HotStore) -> list[str]:
    """Of all records in days that are whole."""
    query = RecordQuery(Kind.LOGS, All(), None, None, 1000)
    return [found.fields["body"] for found in hot.search(ACME, query, hot.days(Kind.LOGS))]


def today() -> str:
    """The day of the samples, as it ends the name of an index."""
    return f"{batch(offset=0).day:%Y.%m.%d}"
