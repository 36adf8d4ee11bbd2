"""Engines of `headwater up`: three URLs -> where bus, hot store and lake are, and a short wait for those that are away.

What does not answer in time is started without: every part waits for it by itself, and goes on when it is there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.errors import BusError, ConfigError, HeadwaterError, StoreError

if TYPE_CHECKING:
    from contracts.settings import Settings

WAIT_S = 10.0
PAUSE_S = 0.5

Ask = Callable[[], str]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the three.

    Attributes:
        where: For people.
        ask: What it says when it is there; raises BusError or StoreError while it is not. None: it is a local file.
        without: What a start without it means.
    """

    what: str
    where: str
    ask: Ask | None = None
    without: str = ""


def engines_of(settings: Settings) -> Sequence[Engine]:
    """Bus, hot store, lake. Connects to nothing.

    Raises:
        ConfigError: A URL, or a setting of its engine, cannot work.
    """
    return (_bus(settings), _hot(settings), _lake(settings))


def _bus(settings: Settings) -> Engine:
    url = settings.bus
    if not url.startswith("kafka://"):
        return Engine("bus", url.removeprefix("sqlite://"))
    from bus.kafka.config import cluster_of

    cluster = cluster_of(url, settings)

    def ask() -> str:
        from bus.kafka.check import apply_missing, reach

        if not settings.bus_topics_apply:
            reach(url, settings)
            return "it answers"
        made = apply_missing(url, settings)
        return f"made {', '.join(made)}" if made else "its topics are there"

    where = f"{cluster.shown}, topics {cluster.topic('logs.raw')} …"
    return Engine("bus", where, ask, "records are refused (503) until it is there")


def _hot(settings: Settings) -> Engine:
    url = settings.hot
    if not url.startswith(("opensearch://", "opensearchs://")):
        from lakehouse import check_workers

        check_workers(url, settings.flow_workers)
        return Engine("hot store", url.removeprefix("tantivy://"))
    from lakehouse.hot.opensearch.client import hosts

    hosts(url)

    def ask() -> str:
        from lakehouse.hot.opensearch.check import reach

        engine = reach(url, settings)
        if not engine.is_usable:
            raise ConfigError(
                f"{engine.product} {engine.version} answers at {url}, which is no hot store", hint="headwater doctor"
            )
        return f"OpenSearch {engine.version}"

    where = f"{url}, indexes {settings.opensearch_prefix}-…"
    return Engine("hot store", where, ask, "the flow waits and goes on by itself, answers come from the lake")


def _lake(settings: Settings) -> Engine:
    from lakehouse.s3.store import object_store

    store = object_store(settings.lake, settings)
    if store is None:
        return Engine("lake", settings.lake)

    def ask() -> str:
        from lakehouse import check_lake

        check_lake(settings.lake, settings)
        return "it loses no commits"

    where = f"{settings.lake} at {store.endpoint or f'AWS {store.region}'}"
    return Engine("lake", where, ask, "the flow waits and goes on by itself")


def wait_for(engines: Sequence[Engine], say: Say, wait_s: float = WAIT_S) -> None:
    """Say where each is, once it answers; after `wait_s` go on without those that do not.

    Raises:
        ConfigError: One of them can never serve.
    """
    logging.disable()  # of the engines' clients: what is wrong is said here
    away: dict[str, HeadwaterError] = {}
    waiting, until_s = list(engines), time.monotonic() + wait_s
    while waiting:
        waiting = [engine for engine in waiting if not _answers(engine, away, say)]
        if not waiting or time.monotonic() >= until_s:
            break
        time.sleep(PAUSE_S)
    for engine in waiting:
        say(f"starting without the {engine.what}: {_words(away[engine.what])}; {engine.without}")


def _answers(engine: Engine, away: dict[str, HeadwaterError], say: Say) -> bool:
    try:
        words = engine.ask() if engine.ask else ""
    except (BusError, StoreError) as error:
        if engine.what not in away:
            say(f"waiting for the {engine.what}: {_words(error)}")
        away[engine.what] = error
        return False
    say(f"  {engine.what:<10} {engine.where}{f': {words}' if words else ''}")
    return True


def _words(error: HeadwaterError) -> str:
    return f"{error}; {error.hint}" if error.hint else str(error)
