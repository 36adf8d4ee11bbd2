from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from bus import open_bus
from contracts.settings import load_settings
from headwater.doctor import machine as doctor_machine
from headwater.doctor.verdict import Level
from headwater.running import hold
from tests.headwater.processes import headwater
from tests.ports import free_port


def findings(folder: Path, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    done = headwater(folder, "doctor", "--json", *words)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_sound_machine_passes_every_check(tmp_path: Path) -> None:
    code, found = findings(tmp_path, "--data-dir", str(tmp_path / "data"), "--port", str(free_port()))
    assert {name: each["level"] for name, each in found.items() if each["level"] == "fail"} == {}
    assert code == 0
    assert len(found) == 15
    assert not (tmp_path / "data").exists()


def test_a_folder_that_cannot_be_written_fails_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    code, found = findings(tmp_path, "--data-dir", str(tmp_path / "file" / "data"), "--port", "0")
    assert code == 1
    assert found["data folder"]["level"] == "fail"
    assert "--data-dir" in found["data folder"]["advice"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_fails(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert doctor_machine.writable(tmp_path / "data").level is Level.FAIL


def test_a_taken_port_fails_and_names_a_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, found = findings(tmp_path, "--data-dir", str(tmp_path / "data"), "--port", str(port))
    assert code == 1
    assert found["port"]["level"] == "fail"
    assert f"--port {port + 1}" in found["port"]["advice"]


def test_a_key_file_that_others_can_read_fails(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert headwater(tmp_path, "keys", "create", "--tenant", "a", "--role", "read", "--data-dir", data).returncode == 0
    (tmp_path / "data" / "keys" / "keys.json").chmod(0o644)
    code, found = findings(tmp_path, "--data-dir", data, "--port", "0")
    assert code == 1
    assert "chmod 600" in found["key file"]["advice"]


def test_a_data_folder_from_the_future_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "bus.db"
    path.touch()
    later = path.stat().st_mtime + 3600
    os.utime(path, (later, later))
    assert doctor_machine.clock(tmp_path).level is Level.WARN


def test_a_misspelt_setting_is_named_with_what_may_be_meant() -> None:
    known = ("agent_dir", "port")
    assert doctor_machine.environment(["HEADWATER_PORT", "HEADWATER_READ_KEY", "PATH"], known).level is Level.OK
    verdict = doctor_machine.environment(["HEADWATER_AGENT_DR"], known)
    assert verdict.level is Level.WARN
    assert "HEADWATER_AGENT_DIR" in verdict.advice


def test_a_service_that_runs_and_does_not_answer_fails_and_status_says_so_too(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert doctor_machine.service(data).level is Level.OK
    data.mkdir()
    open_bus(load_settings(_env_file=None, data_dir=data).bus, load_settings(_env_file=None)).close()
    url = f"http://127.0.0.1:{free_port()}"
    descriptor = hold(data, url)
    try:
        verdict = doctor_machine.service(data)
        done = headwater(tmp_path, "status", env={"HEADWATER_API_KEY": "hw_a_b"})
    finally:
        os.close(descriptor)
    assert verdict.level is Level.FAIL
    assert url in verdict.finding
    assert "does not answer" in done.stdout
    assert "every record is accounted for" in done.stdout


def test_a_python_without_wheels_fails() -> None:
    assert doctor_machine.python(("3", "13", "0")).level is Level.FAIL
    assert doctor_machine.python(("3", "12", "4")).level is Level.OK


def test_a_sync_is_measured_and_no_file_is_left(tmp_path: Path) -> None:
    assert "ms" in doctor_machine.fsync(tmp_path).finding
    assert list(tmp_path.iterdir()) == []
