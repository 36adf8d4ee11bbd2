"""The guarantee on Kafka, OpenSearch and S3: what was acknowledged is there once, whatever is killed or paused."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.engines import kafka as kafka_engine
from scripts.engines import opensearch as opensearch_engine
from scripts.engines import s3 as s3_engine
from tests.conftest import needs
from tests.real.promise import KINDS, Engines, Promise

pytestmark = pytest.mark.alone

FAULTS = 14
TRIES = 3
SOAK_FAULTS = int(os.environ.get("HEADWATER_SOAK_FAULTS", "0"))


@pytest.fixture(scope="module")
def engines(engines_home: Path) -> Iterator[Engines]:
    """Of this module alone: they are killed."""
    needs(kafka_engine, opensearch_engine, s3_engine)
    with contextlib.ExitStack() as stack:
        yield Engines(
            stack.enter_context(kafka_engine.running(brokers=3, home=engines_home / "promise-kafka")),
            stack.enter_context(opensearch_engine.running(home=engines_home / "promise-opensearch")),
            stack.enter_context(s3_engine.running(home=engines_home / "promise-s3")),
        )


@pytest.mark.timeout(600)
def test_every_acknowledged_record_is_visible_exactly_once_whatever_breaks(engines: Engines, tmp_path: Path) -> None:
    with contextlib.closing(Promise(tmp_path, 20261124, engines)) as run:
        run.break_things(FAULTS)
        run.drain(120)

        assert set(run.done) == set(KINDS)
        assert run.done.total() == FAULTS
        assert len(run.oracle.acknowledged) > 2_000
        assert run.faults() == []


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("sabotage", "victim", "sign"),
    [
        ("hot-ids-by-chance", "flow", "hot: .* doubled"),
        ("hot-checkpoint-first", "flow", "hot: .* missing"),
        ("no-transaction-in-lake-commit", "flow", "lake: .* doubled"),
        ("acknowledge-before-the-delivery-report", "api", "lake: .* missing"),
    ],
)
def test_the_test_turns_red_with(sabotage: str, victim: str, sign: str, engines: Engines, tmp_path: Path) -> None:
    found: list[str] = []
    for seed in range(TRIES):  # one kill each; most need one
        with contextlib.closing(Promise(tmp_path / str(seed), seed, engines, sabotage)) as run:
            run.run_broken(victim)
            found = run.faults()
        if any(re.search(sign, fault) for fault in found):
            return
    pytest.fail(f"{sabotage} went unnoticed: {found}")


@pytest.mark.skipif(not SOAK_FAULTS, reason="a longer run: make soak-engines")
@pytest.mark.timeout(0)
def test_soak(engines: Engines, tmp_path: Path) -> None:
    rounds = max(1, SOAK_FAULTS // 30)
    for number in range(rounds):
        folder = tmp_path / str(number)
        folder.mkdir()
        with contextlib.closing(Promise(folder, number, engines)) as run:
            run.break_things(SOAK_FAULTS // rounds)
            run.drain(120)
            assert run.faults() == [], f"round {number}"
            known = len(run.oracle.acknowledged)
            print(f"round {number}: {run.done.total()} faults, {known} acknowledged, all accounted for", flush=True)
