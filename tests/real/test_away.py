"""OpenSearch and S3 away under load, paused and killed, in turn, with a kill of the flow and a change of day meanwhile.

`HEADWATER_SOAK_AWAY_S=600` makes each of them stay away for ten minutes (`make soak-engines`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import s3 as s3_engine
from scripts.engines.node import Node
from tests.conftest import needs
from tests.real.away import Away
from tests.real.pointing import settings_of
from tests.real.promise import Engines

pytestmark = pytest.mark.alone

WAIT = threading.Event().wait
AWAY_S, RATE = 12.0, 1_000
SOAK_AWAY_S = float(os.environ.get("HEADWATER_SOAK_AWAY_S", "0"))
SOAK_RATE = int(os.environ.get("HEADWATER_SOAK_RATE", "10000"))


@pytest.fixture(scope="module")
def engines(engines_home: Path) -> Iterator[Engines]:
    """Of this module alone: they are killed."""
    needs(kafka_engine, opensearch_engine, s3_engine)
    with contextlib.ExitStack() as stack:
        yield Engines(
            stack.enter_context(kafka_engine.running(home=engines_home / "away-kafka")),
            stack.enter_context(opensearch_engine.running(home=engines_home / "away-opensearch")),
            stack.enter_context(s3_engine.running(home=engines_home / "away-s3")),
        )


def run(engines: Engines, folder: Path, away_s: float, rate: int) -> None:
    settings = {**settings_of(engines.kafka, engines.opensearch, engines.s3), "bus_partitions": 2}
    with contextlib.closing(Away(folder, rate, midnight_in_s=1.5 * away_s, **settings)) as here:
        with here.phase("both are there"):
            WAIT(away_s / 2)
        without_opensearch(here, engines.opensearch.node, away_s)
        without_s3(here, engines.s3.node, away_s)
        without_both(here, engines, away_s)
        with here.phase("both are there again"):
            WAIT(away_s / 2)
        here.end()
        print(f"\n{here.table()}", flush=True)
        assert here.faults() == []
        assert here.search("p0-0") == (1, False)


def without_opensearch(here: Away, opensearch: Node, away_s: float) -> None:
    with here.phase("OpenSearch is paused, midnight passes"):
        opensearch.pause()
        WAIT(away_s)
        here.wait_for("lake")
        assert here.search("p0-0") == (1, True)
        opensearch.resume()
    with here.phase("OpenSearch is killed, and the flow meanwhile"):
        opensearch.kill()
        WAIT(away_s / 2)
        here.stack.kill("flow")
        here.stack.start("flow")
        WAIT(away_s / 2)
        here.wait_for("lake")
        opensearch.launch()


def without_s3(here: Away, s3: Node, away_s: float) -> None:
    with here.phase("S3 is paused"):
        s3.pause()
        WAIT(away_s)
        here.wait_for("hot")
        s3.resume()
    with here.phase("S3 is killed"):
        s3.kill()
        WAIT(away_s)
        here.wait_for("hot")
        s3.start()


def without_both(here: Away, engines: Engines, away_s: float) -> None:
    opensearch, s3 = engines.opensearch.node, engines.s3.node
    with here.phase("S3 fails while OpenSearch is away, flow killed"):
        opensearch.pause()
        WAIT(away_s / 2)
        s3.kill()
        WAIT(away_s / 4)
        opensearch.resume()
        WAIT(away_s / 4)
        here.stack.kill("flow")
        here.stack.start("flow")
        s3.start()


@pytest.mark.skipif("HEADWATER_AWAY" not in os.environ, reason="takes minutes: make test-away")
@pytest.mark.timeout(900)
def test_a_store_that_is_away_holds_up_no_other_and_misses_nothing_in_the_end(engines: Engines, tmp_path: Path) -> None:
    run(engines, tmp_path, AWAY_S, RATE)


@pytest.mark.skipif(not SOAK_AWAY_S, reason="a longer run: make soak-engines")
@pytest.mark.timeout(0)
def test_soak_of_stores_that_are_away(engines: Engines, tmp_path: Path) -> None:
    run(engines, tmp_path, SOAK_AWAY_S, SOAK_RATE)
