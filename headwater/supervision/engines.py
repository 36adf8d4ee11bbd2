"""Engines of `headwater up`: three URLs -> addresses of bus, hot store and lake, and a short wait for each engine.

If an engine does not answer in time, `up` starts without it: every process waits for the engine itself.
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
    """Bus, hot store or lake.

    Attributes:
        where: Address, for people.
        ask: Returns a short text if the engine answers; raises BusError or StoreError if not. None: a local file.
        without: Consequence of a start without the engine, in words.
    """

    what: str
    where: str
    ask: Ask | None = None
    without: str = ""


def engines_of(settings: Settings) -> Sequence[Engine]:
    """Bus, hot store, lake. Does not connect.

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
                f"{engine.product} {engine.version} answers at {url}: unusable as hot store",
                hint="run headwater doctor",
            )
        return f"OpenSearch {engine.version}"

    where = f"{url}, indexes {settings.opensearch_prefix}-…"
    return Engine("hot store", where, ask, "the flow waits for it, and the lake answers queries meanwhile")


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
    return Engine("lake", where, ask, "the flow waits for it")


def wait_for(engines: Sequence[Engine], say: Say, wait_s: float = WAIT_S) -> None:
    """Print the address of each engine that answers; after `wait_s` go on without the others.

    Raises:
        ConfigError: An engine cannot be used at all.
    """
    logging.disable()  # silences the engines' clients, as the errors are printed here
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
