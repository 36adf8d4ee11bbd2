"""S3 check: a bucket -> facts about its server and clock. Writes some keys and deletes them again."""

from __future__ import annotations

import datetime as dt
import email.utils
from dataclasses import dataclass

from lakehouse.s3.probe import TIMEOUT_S, Race, demand_fair, race, s3_errors
from lakehouse.s3.store import ObjectStore


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """`skew_s`: seconds that our clock is ahead of the server's; None if the server sends no time."""

    server: str
    skew_s: float | None
    race: Race


def look(store: ObjectStore, keys: int) -> ServerFacts:
    """List the bucket, and run the race of the start-up probe with `keys` keys.

    Raises:
        ConfigError: The server would lose commits.
        StoreError: The server cannot be reached or refuses the request; the message gives the reason.
    """
    client = store.client(TIMEOUT_S)
    with s3_errors(store, "the lake's bucket cannot be used"):
        answer = client.list_objects_v2(Bucket=store.bucket, Prefix=store.prefix, MaxKeys=1)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    skew_s = clock_skew_s(str(headers.get("date", "")), dt.datetime.now(dt.UTC))
    server = str(headers.get("server", "unnamed"))
    outcome = race(store, client, server, keys)
    demand_fair(store, outcome)
    return ServerFacts(server, skew_s, outcome)


def clock_skew_s(date: str, now: dt.datetime) -> float | None:
    """Skew from the Date header of an answer that came at `now`; the header's precision is a second."""
    try:
        theirs = email.utils.parsedate_to_datetime(date)
    except ValueError:
        return None
    return (now - theirs).total_seconds()
