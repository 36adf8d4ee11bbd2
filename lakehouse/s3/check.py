"""A look at the lake's S3 server: settings -> facts about it and its clock. Writes keys that go again."""

from __future__ import annotations

import datetime as dt
import email.utils
from dataclasses import dataclass

from lakehouse.s3.probe import TIMEOUT_S, Race, demand_fair, race, told
from lakehouse.s3.store import ObjectStore


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`skew_s`: how far our clock is ahead of the server's; None when it does not say the time."""

    server: str
    skew_s: float | None
    race: Race


def look(store: ObjectStore, keys: int) -> ServerFacts:
    """Ask the bucket, and race for `keys` keys as the start does for fewer.

    Raises:
        ConfigError: The server would lose commits.
        StoreError: It cannot be reached, or refuses us, and why.
    """
    client = store.client(TIMEOUT_S)
    with told(store, "the lake's bucket cannot be used"):
        answer = client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    skew_s = clock_skew_s(str(headers.get("date", "")), dt.datetime.now(dt.UTC))
    server = str(headers.get("server", "unnamed"))
    outcome = race(store, client, server, keys)
    demand_fair(store, outcome)
    return ServerFacts(server, skew_s, outcome)


def clock_skew_s(date: str, now: dt.datetime) -> float | None:
    """`date` is the header of an answer that came at `now`; its precision is a second."""
    try:
        theirs = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    return (now - theirs).total_seconds()
