"""One agent of many inputs: folders as Kubernetes and Docker make them, which rotate, and the journal."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import load_config, planned, read_status, run_config
from contracts.settings import Settings
from tests.agents.journalctl import FakeJournal
from tests.agents.server import Sink
from tests.waiting import until

UID = "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
ID = "c0ffee00" * 8


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "agent.toml"
        path.write_text(text)
        return path

    return write


@contextmanager
def running(settings: Settings, path: Path) -> Iterator[None]:
    """The agent of a config, until the block ends."""
    stop = threading.Event()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run_config(settings, load_config(path), stop=stop)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
    assert codes == [0]


def arrived(sink: Sink, path: str = "/logs") -> list[dict[str, Any]]:
    return [record for request in sink.taken if request.path == path for record in request.records()]


def by_body(sink: Sink) -> dict[str, dict[str, Any]]:
    return {record["body"]: record for record in arrived(sink)}


def cri(*texts: str, stream: str = "stdout") -> str:
    return "".join(f"2026-11-30T19:40:07.123456789Z {stream} F {text}\n" for text in texts)


class Node:
    """The log folders of a Kubernetes node."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "containers").mkdir(parents=True)

    def pod(self, namespace: str, pod: str, container: str, restarts: int = 0) -> Path:
        log = self.folder / "pods" / f"{namespace}_{pod}_{UID}" / container / f"{restarts}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        link = self.folder / "containers" / f"{pod}_{namespace}_{container}-{ID}.log"
        link.unlink(missing_ok=True)
        link.symlink_to(log)
        return log

    @staticmethod
    def rotate(log: Path, stamp: str) -> None:
        """As the kubelet rotates: a new name in the same folder, then a new file."""
        log.rename(log.with_name(f"{log.name}.{stamp}"))
        log.touch()


def test_pods_that_rotate_while_they_are_read_arrive_once_with_their_labels(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[str], Path]
) -> None:
    node = Node(tmp_path / "log")
    checkout, cart = node.pod("shop", "checkout-7d9c5b8f4d-x2x7k", "app"), node.pod("shop", "cart-0", "app", 2)
    paths = f'["{node.folder}/containers/*.log", "{node.folder}/pods/*/*/*.log"]'
    wanted: list[str] = []

    def write(log: Path, name: str, numbers: range) -> None:
        texts = [f"{name} {number}" for number in numbers]
        wanted.extend(texts)
        with log.open("a") as file:
            file.write(cri(*texts))

    with running(settings, config(f"[[logs]]\npath = {paths}\n")):
        for turn in range(4):
            for log, name in ((checkout, "checkout"), (cart, "cart")):
                write(log, name, range(100 * turn, 100 * turn + 50))
                until(lambda: len(arrived(sink)) >= len(wanted), "the lines before the rotation")
                write(log, name, range(100 * turn + 50, 100 * turn + 100))
                node.rotate(log, f"20261130-19400{turn}")
        until(lambda: len(arrived(sink)) >= len(wanted), "all lines")

    counts = Counter(record["body"].rpartition(" F ")[2] for record in arrived(sink))
    assert counts == Counter(wanted)
    for record in arrived(sink):
        attributes = record["attributes"]
        pod = attributes["k8s.pod.name"]
        assert (attributes["k8s.namespace.name"], attributes["k8s.pod.uid"]) == ("shop", UID)
        assert record["service"] == {"checkout-7d9c5b8f4d-x2x7k": "checkout", "cart-0": "cart"}[pod]
        assert attributes["k8s.container.restart_count"] == (2 if pod == "cart-0" else 0)


def test_docker_logs_carry_container_image_and_service(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[str], Path]
) -> None:
    home = tmp_path / "docker" / "containers" / ID
    home.mkdir(parents=True)
    labels = {"com.docker.compose.service": "web", "com.docker.compose.project": "shop"}
    (home / "config.v2.json").write_text(
        json.dumps({"Name": "/shop-web-1", "Config": {"Image": "nginx", "Labels": labels}})
    )
    line = json.dumps({"log": "hello\n", "stream": "stderr", "time": "2026-11-30T19:40:07.1Z"})
    (home / f"{ID}-json.log").write_text(line + "\n")
    paths = config(f'[[logs]]\npath = ["{tmp_path}/docker/containers/*/*-json.log"]\n')

    assert run_config(settings, load_config(paths), until_idle=True) == 0

    (record,) = arrived(sink)
    assert (record["body"], record["service"]) == (line, "web")
    names = ("container.id", "container.name", "container.image.name")
    assert [record["attributes"][name] for name in names] == [ID, "shop-web-1", "nginx"]


def test_inputs_keep_their_own_options_and_a_file_of_two_inputs_belongs_to_the_first(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[str], Path]
) -> None:
    (tmp_path / "a.log").write_text("head\n  joined\n")
    (tmp_path / "b.log").write_text("head b\n  apart\n")
    path = config(f"""
        env = "prod"
        [[logs]]
        path = ["{tmp_path}/a.log"]
        service = "first"
        timezone = "Asia/Kolkata"
        attributes = {{ team = "web", tier = 1 }}
        [[logs]]
        path = ["{tmp_path}/*.log"]
        service = "second"
        multiline = "none"
        """)

    assert run_config(settings, load_config(path), until_idle=True) == 0

    found = by_body(sink)
    assert sorted(found) == ["  apart", "head\n  joined", "head b"]
    first = found["head\n  joined"]
    assert (first["service"], first["env"], first["observed_timezone"]) == ("first", "prod", "Asia/Kolkata")
    assert (first["attributes"]["team"], first["attributes"]["tier"]) == ("web", 1)
    assert found["head b"]["service"] == "second"


def test_a_file_that_moves_from_one_input_to_another_is_not_read_again(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[str], Path]
) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    log = tmp_path / "new" / "app.log"
    path = config(f'[[logs]]\npath = ["{tmp_path}/new/*"]\n[[logs]]\npath = ["{tmp_path}/old/*"]\n')
    log.write_text("one\n")
    assert run_config(settings, load_config(path), until_idle=True) == 0
    with log.open("a") as file:
        file.write("two\n")
    shutil.move(log, tmp_path / "old" / "app.log")

    assert run_config(settings, load_config(path), until_idle=True) == 0

    assert [record["body"] for record in arrived(sink)] == ["one", "two"]


def test_the_journal_and_metrics_run_beside_files_and_go_on_where_they_stopped(
    sink: Sink, settings: Settings, tmp_path: Path, config: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = FakeJournal(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "a.log").write_text("of a file\n")
    path = config(f'[[logs]]\npath = ["{tmp_path}/a.log"]\n[[journald]]\n[metrics]\nattributes = {{ rack = "r1" }}\n')
    journal.write("first")
    assert run_config(settings, load_config(path), until_idle=True) == 0
    journal.write("second")
    assert run_config(settings, load_config(path), until_idle=True) == 0

    assert sorted(record["body"] for record in arrived(sink)) == ["first", "of a file", "second"]
    assert by_body(sink)["first"]["host"] == "node1"
    points = arrived(sink, "/metrics")
    assert {"system.memory.usage"} <= {point["name"] for point in points}
    assert all(point["attributes"]["rack"] == "r1" for point in points)
    status = read_status(settings.agent_home / "agent")
    assert status is not None
    assert status.read_lines == 3


def test_the_plan_names_files_with_size_service_and_fault(tmp_path: Path, config: Callable[[str], Path]) -> None:
    node = Node(tmp_path / "log")
    log = node.pod("shop", "cart-0", "app")
    log.write_text(cri("x"))
    text = f'[[logs]]\npath = ["{tmp_path}/log/containers/*"]\n[[logs]]\npath = ["{log}", "{tmp_path}/none/*.log"]\n'
    text += f'[[logs]]\npath = ["{tmp_path}/none"]\n[metrics]\n'

    link, same, missing, metrics = planned(load_config(config(text)))

    assert (link.service, link.size_bytes, link.fault) == ("cart", log.stat().st_size, "")
    assert "k8s.pod.name=cart-0" in link.notes
    assert "it is read there" in same.notes
    assert (missing.input, missing.fault) == ("logs 3", "no file matches")
    assert metrics.input == "metrics"
