"""Workers of a flow: how many a store admits, and what they share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.errors import ConfigError
from flows.connections import Connections
from lakehouse import check_workers
from tests.children import Child
from tests.flows.running import World
from tests.flows.test_processes import start


def ended(process: Child, world: World) -> tuple[int, str]:
    code = process.wait(40)
    return code, (world.settings.data.parent / "flow.log").read_text()


def test_the_embedded_hot_store_refuses_a_second_worker_and_says_what_to_do(world: World) -> None:
    code, log = ended(start(world, "flows", "--workers", "2"), world)

    assert code == 1
    assert "2 workers were asked for, and the embedded hot store admits one" in log
    assert "opensearch://" in log
    assert "Traceback" not in log


def test_also_of_the_engines_own_command_and_by_the_setting(world: World) -> None:
    code, log = ended(start(world, "bytewax.run", "flows.logs", "-w", "2"), world)
    assert code != 0
    assert "the embedded hot store admits one" in log

    code, log = ended(start(world, "flows", flow_workers="3"), world)
    assert code == 1
    assert "3 workers were asked for" in log


def test_processes_of_a_cluster_count_as_workers(world: World) -> None:
    code, log = ended(start(world, "flows", "-i", "0", "-a", "127.0.0.1:1;127.0.0.1:2"), world)
    assert code == 1
    assert "2 workers were asked for" in log

    code, log = ended(start(world, "flows", "-i", "2", "-a", "127.0.0.1:1;127.0.0.1:2"), world)
    assert code == 2
    assert "--process-id 2 is not the place of one of the addresses" in log


def test_opensearch_admits_any_number() -> None:
    check_workers("opensearch://127.0.0.1:1", 64)
    check_workers("tantivy:///hot", 1)
    with pytest.raises(ConfigError, match="admits one"):
        check_workers("tantivy:///hot", 2)


def test_workers_share_what_the_first_of_them_opened(world: World) -> None:
    connections = Connections(world.settings)
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: (connections.bus, connections.hot, connections.lake), range(32)))
    connections.close()

    assert [len({id(each[place]) for each in opened}) for place in range(3)] == [1, 1, 1]
