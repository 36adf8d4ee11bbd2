"""Dockerfile, .dockerignore, the image's lock and the systemd unit against the code; and the commands, run for real."""

from __future__ import annotations

import contextlib
import fnmatch
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from contracts.settings import Settings, load_settings
from ingestion_api.app import create_app as create_ingestion
from query_api.app import create_app as create_query
from tests.deploy.reading import ROOT, SERVICES, image_check, image_environment, instructions
from tests.deploy.test_compose import is_command
from tests.ports import free_port
from tests.test_structure import MAY_IMPORT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PATTERNS: list[str] = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
PACKAGES = [path.parent.name for path in ROOT.glob("*/__init__.py") if f"{path.parent.name}*" in PATTERNS]
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def runtime_lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("runtime_lock", ROOT / "deploy/runtime_lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(text: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9][\w.-]*)(?:\[[^\]]*\])?==", text, re.MULTILINE))


def asked(lines: list[str]) -> set[str]:
    return {re.split(r"[\[<>=]", line)[0].lower() for line in lines}


def test_the_image_is_pinned_not_root_and_has_two_stages() -> None:
    bases = [line.partition(" ")[0] for line in instructions("FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    version = re.fullmatch(r"python:3\.(1[12])\.\d+-slim-\w+", bases[0])
    assert version, bases[0]
    assert instructions("USER") == ["10001:10001"]
    assert all(SERVICES[name]["user"] == "10001:10001" for name in ("ingest", "query", "flow"))
    assert "--require-hashes" in "".join(instructions("RUN"))
    assert image_environment()["HEADWATER_HOST"] == "0.0.0.0"
    assert instructions("EXPOSE") == [image_environment()["HEADWATER_PORT"]]
    assert instructions("VOLUME") == [image_environment()["HEADWATER_DATA_DIR"]]


def test_what_the_image_names_exists() -> None:
    known = {f"HEADWATER_{field.upper()}" for field in Settings.model_fields}
    assert {name for name in image_environment() if name.startswith("HEADWATER_")} <= known
    assert is_command(json.loads(instructions("CMD")[-1]))
    for line in instructions("COPY"):
        for source in line.split()[:-1]:
            assert source.startswith(("--", "/opt/")) or (ROOT / source).exists(), source


def test_health_checks_ask_for_routes_that_exist(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path)
    for name, create in (("ingest", create_ingestion), ("query", create_query)):
        path = re.search(r"127\.0\.0\.1:8080(/[\w/]+)", SERVICES[name]["healthcheck"]["test"][-1])
        assert path
        assert path[1] in create(settings).openapi()["paths"]
    assert SERVICES["ingest"]["healthcheck"]["test"][1:] == image_check()


def test_every_package_goes_into_the_image_and_no_secret_does() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    let = {rule.removeprefix("!").rstrip("/") for rule in rules if rule.startswith("!")}
    assert set(PACKAGES) <= let
    assert {"pyproject.toml", "requirements.lock", PROJECT["project"]["readme"]} <= let
    assert not any(fnmatch.fnmatch(name, rule) for name in (".env", "data", ".git", "tests") for rule in let)


def test_every_room_is_a_package_that_is_installed() -> None:
    assert {f"{room}*" for room in MAY_IMPORT} == set(PATTERNS)


def test_every_data_file_of_a_package_is_installed_with_it() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*")):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            package = next(folder for folder in path.parents if (folder / "__init__.py").exists())
            inside = str(path.relative_to(package))
            found = any(
                fnmatch.fnmatch(inside, pattern) and inside.count("/") == pattern.count("/") for pattern in patterns
            )
            assert found, f"{package}/{inside} would be missing"


def test_the_lock_of_the_image_has_what_the_package_needs_and_no_more(runtime_lock: ModuleType) -> None:
    text = "\n".join(runtime_lock.needed(LOCK, []))
    found = names(text)
    assert asked(PROJECT["project"]["dependencies"]) <= found
    assert found < names(LOCK)
    only_dev = asked(PROJECT["dependency-groups"]["dev"]) - asked(PROJECT["project"]["dependencies"])
    assert found & only_dev <= {"pyyaml"}  # Dagster reads YAML
    assert text.count("--hash=sha256:") >= len(found)
    assert {"anyio", "pydantic-core", "botocore"} <= found, "what is needed by what is needed"


def test_the_lock_of_the_build_has_what_setuptools_needs(runtime_lock: ModuleType) -> None:
    assert {"setuptools", "wheel"} <= names("\n".join(runtime_lock.needed(LOCK, ["setuptools", "wheel"])))
    with pytest.raises(SystemExit, match="no-such-package"):
        runtime_lock.needed(LOCK, ["no-such-package"])


def test_the_systemd_unit_names_what_exists() -> None:
    unit = (ROOT / "deploy/headwater.service").read_text()
    known = {f"HEADWATER_{field.upper()}" for field in Settings.model_fields}
    assert set(re.findall(r"^Environment=(\w+)=", unit, re.MULTILINE)) <= known
    command = re.search(r"^ExecStart=\S+/(.*)$", unit, re.MULTILINE)
    assert command
    assert is_command(command[1].split())


@pytest.mark.parametrize("name", ["ingest", "query", "flow"])
def test_a_service_of_the_compose_file_starts_alone_and_passes_its_check(name: str, tmp_path: Path) -> None:
    """The command and the check as they stand there, on embedded stores and free ports."""
    service, ports = SERVICES[name], {"8080": str(free_port()), "3030": str(free_port())}
    told = {key: value for key, value in service["environment"].items() if not key.startswith("HEADWATER_")}
    mine = {**told, "HEADWATER_DATA_DIR": str(tmp_path), "HEADWATER_PORT": ports["8080"]}
    if "BYTEWAX_DATAFLOW_API_PORT" in mine:
        mine["BYTEWAX_DATAFLOW_API_PORT"] = ports["3030"]
    check = service["healthcheck"]["test"][-1]
    for port, free in ports.items():
        check = check.replace(f":{port}/", f":{free}/")
    with started(service["command"], mine, tmp_path) as process:
        deadline_s = time.monotonic() + 60
        while subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode:
            assert process.poll() is None, (tmp_path / "log").read_text()[-2000:]
            assert time.monotonic() < deadline_s, (tmp_path / "log").read_text()[-2000:]
        process.terminate()
        assert process.wait(20) == 0


@contextlib.contextmanager
def started(command: list[str], extra: dict[str, str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HEADWATER_")}
    environment = {**kept, **extra, "PYTHONPATH": str(ROOT)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, *command[1:]], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
