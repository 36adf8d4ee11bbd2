from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from contracts.tenants import Role
from headwater.running import running
from tests.headwater.platform import platform
from tests.headwater.processes import children_of, headwater, is_alive, output
from tests.waiting import until


def test_a_start_on_an_empty_folder_says_where_to_look_and_a_stop_is_clean_within_ten_seconds(tmp_path: Path) -> None:
    with platform(tmp_path) as up:
        told = output(tmp_path)
        for place in (
            f"{up.url}/docs",
            f"{tmp_path}/data/keys/default.env",
            f"{tmp_path}/data/logs",
            "headwater search",
        ):
            assert place in told
        up.send([{"body": "last words"}], "1")
        pids = children_of(up.process.pid).values()
        up.process.terminate()
        assert up.process.wait(10) == 0
    assert not any(map(is_alive, pids))
    assert output(tmp_path).index("api   stopped") < output(tmp_path).index("flow  stopped")
    assert output(tmp_path).count("first start") == 1
    assert running(up.settings.data) is None
    facts = json.loads(headwater(tmp_path, "status", "--json", "--data-dir", str(up.settings.data)).stdout)
    assert (facts["running"], facts["accounts_from"]) == (None, "the data folder")
    assert [entry["received"] for entry in facts["accounts"] if entry["kind"] == "logs"] == [1]
    (tmp_path / "output").unlink()
    with platform(tmp_path) as up:
        assert up.bodies() == ["last words"]
        assert "first start" not in output(tmp_path)


def test_killed_children_are_started_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    with platform(tmp_path) as up:
        for turn, module in enumerate(("headwater.supervision.serve", "headwater.supervision.flow")):
            up.send([{"body": f"{turn} before {number}"} for number in range(50)], f"{turn}-before")
            victim = children_of(up.process.pid)[module]
            os.kill(victim, signal.SIGKILL)
            up.send([{"body": f"{turn} after {number}"} for number in range(50)], f"{turn}-after")
            until(lambda: children_of(up.process.pid).get(module, victim) != victim, "the second start")  # noqa: B023
        until(lambda: up.has(200), "every record being stored")
        sent = [f"{turn} {when} {n}" for turn in range(2) for when in ("before", "after") for n in range(50)]
        assert sorted(up.bodies()) == sorted(sent)
        assert up.account()["difference"] == 0
    assert output(tmp_path).count("died (signal 9, SIGKILL)") == 2


def test_a_second_start_on_the_same_folder_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with platform(tmp_path) as up:
        second = headwater(tmp_path, "up", "--data-dir", str(tmp_path / "data"), "--port", "0")
        assert second.returncode == 2
        assert f"pid {up.process.pid}, {up.url}" in second.stderr
        assert "Traceback" not in second.stderr
        with up.client(Role.READ) as client:
            assert client.get("/health/ready").status_code == 200


def test_a_port_in_use_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = headwater(tmp_path, "up", "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert done.returncode == 2
    assert f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert f"--port {port + 1}" in done.stderr


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = headwater(tmp_path, "up", "--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot write the data folder")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux")
def test_a_killed_parent_takes_its_children_along_and_the_folder_starts_again(tmp_path: Path) -> None:
    with platform(tmp_path) as up:
        up.send([{"body": "survives"}], "1")
        pids = children_of(up.process.pid)
        assert set(pids) == {"headwater.supervision.serve", "headwater.supervision.flow"}
        up.process.kill()
        up.process.wait()
        until(lambda: not any(map(is_alive, pids.values())), "the children dying", 5)
    (tmp_path / "output").unlink()
    with platform(tmp_path) as up:
        until(lambda: up.has(1), "the record being stored")
        assert up.bodies() == ["survives"]
