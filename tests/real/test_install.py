"""The cache of the engines: what is not what is pinned is refused, and an installation is whole or is not there."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from scripts.engines import cache, kafka, opensearch, s3
from scripts.engines.node import EngineError

PINNED = {"a.jar": hashlib.sha256(b"a").hexdigest(), "b.jar": hashlib.sha256(b"b").hexdigest()}
BUILD_INFO = (
    "versitygw: go1.26\n\tpath\tp/cmd\n\tmod\t{0}\n\tdep\texample.org/dep\tv1.0.0\th1:dep=\n\tbuild\tGOOS=linux\n"
)
SERVER = f"{s3.MODULE}\t{s3.VERSION}\th1:server="
MODULES = {SERVER.replace("\t", " "), "example.org/dep v1.0.0 h1:dep="}


def fill(folder: Path, **contents: bytes) -> None:
    for name, content in contents.items():
        (folder / f"{name}.jar").write_bytes(content)


def test_the_pinned_files_pass(tmp_path: Path) -> None:
    fill(tmp_path, a=b"a", b=b"b")

    cache.verify(tmp_path, PINNED)


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"a": b"a", "b": b"another"}, "b.jar has the sha256"),
        ({"a": b"a"}, r"lacks \['b.jar'\]"),
        ({"a": b"a", "b": b"b", "c": b"c"}, r"\['c.jar'\], which are not pinned"),
    ],
)
def test_a_file_that_is_another_or_missing_or_unknown_is_refused(
    tmp_path: Path, contents: dict[str, bytes], said: str
) -> None:
    fill(tmp_path, **contents)

    with pytest.raises(EngineError, match=said):
        cache.verify(tmp_path, PINNED)


def test_a_program_of_the_pinned_modules_passes() -> None:
    s3.verify(BUILD_INFO.format(SERVER), MODULES)


@pytest.mark.parametrize(
    ("build_info", "said"),
    [
        (BUILD_INFO.format(SERVER).replace("h1:dep=", "h1:other="), "example.org/dep v1.0.0 h1:other="),
        (BUILD_INFO.format(SERVER).replace("h1:server=", "h1:other="), "h1:other="),
        (BUILD_INFO.format(SERVER).replace(s3.VERSION, "v1.7.0"), "is not github.com/versity/versitygw"),
        ("", "is not github.com/versity/versitygw"),
    ],
)
def test_a_program_of_other_modules_is_refused(build_info: str, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        s3.verify(build_info, MODULES)


def test_every_engine_has_pins() -> None:
    assert f"kafka_2.13-{kafka.VERSION}.jar" in cache.checksums(kafka.PINS)
    assert f"opensearch-{opensearch.VERSION}.jar" in cache.checksums(opensearch.PINS)
    assert any(line.startswith(f"{s3.MODULE} {s3.VERSION} h1:") for line in s3.pinned_modules())


def test_an_installation_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(folder: Path) -> None:
        fill(folder, a=b"a")
        raise EngineError("cut short")

    with pytest.raises(EngineError, match="cut short"):
        cache.ensure(tmp_path / "engine", fails)

    assert [path.name for path in tmp_path.iterdir()] == ["engine.lock"]


def test_a_file_that_changed_since_is_installed_anew(tmp_path: Path) -> None:
    target = cache.ensure(tmp_path / "engine", lambda folder: fill(folder, a=b"a"))
    assert cache.is_whole(target)

    fill(target, a=b"sabotaged")
    assert not cache.is_whole(target)

    cache.ensure(target, lambda folder: fill(folder, a=b"a"))
    assert (target / "a.jar").read_bytes() == b"a"


def test_of_two_installations_at_once_one_works_and_the_other_finds_it(tmp_path: Path) -> None:
    built: list[Path] = []
    met = threading.Barrier(2)

    def build(folder: Path) -> None:
        built.append(folder)
        time.sleep(0.3)  # time for the other to come in, if the lock let it
        fill(folder, a=b"a")

    def ensure() -> None:
        met.wait()
        assert cache.ensure(tmp_path / "engine", build) == tmp_path / "engine"

    threads = [threading.Thread(target=ensure) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(built) == 1
    assert cache.is_whole(tmp_path / "engine")


def test_where_the_tools_are_missing_the_reason_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_ENGINES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))

    assert kafka.missing() == "no java and no mvn on the PATH"
    assert opensearch.missing() == "no java and no javac and no mvn on the PATH"
    assert s3.missing() == "no go on the PATH"
