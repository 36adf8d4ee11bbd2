"""One meaning of a query on a real OpenSearch, of awkward records: see `tests.lakehouse.test_same_answers`."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.engines.opensearch import OpenSearch
from tests.lakehouse.test_same_answers import SOAK_ROUNDS, check_round


@pytest.mark.parametrize("seed", range(3))
def test_opensearch_and_the_lake_find_what_the_reference_finds(
    opensearch: OpenSearch, tmp_path: Path, seed: int
) -> None:
    check_round(tmp_path, seed, hot_url=opensearch.url)


@pytest.mark.skipif(not SOAK_ROUNDS, reason="a longer run: make soak-answers")
@pytest.mark.timeout(0)
def test_soak_of_queries_has_one_answer_on_opensearch(
    opensearch: OpenSearch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for seed in range(SOAK_ROUNDS):
        check_round(tmp_path_factory.mktemp("round"), 200_000 + seed, 200, opensearch.url)
