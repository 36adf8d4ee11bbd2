"""The cache: a pinned package → its verified files in a folder outside the repository, built once on this machine.

A folder is built under a temporary name, verified and renamed, under a file lock: whoever comes second waits and finds
it, and an installation that was cut short leaves nothing that looks whole. Its name carries a digest of what is
pinned, so that another pin is another folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from scripts.engines.node import EngineError

HERE = Path(__file__).parent
STAMP = "verified.json"  # size and time of each file when its checksum was right
INSTALL_WITHIN_S = 900
OLDEST_JAVA = 17


def root() -> Path:
    chosen = os.environ.get("HEADWATER_ENGINES_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "headwater-engines"


def folder(name: str, pins: str) -> Path:
    """Where the package of that name with those pins is, or will be."""
    return root() / f"{name}-{hashlib.sha256(pins.encode()).hexdigest()[:12]}"


def ensure(target: Path, build: Callable[[Path], None]) -> Path:
    """`target` as it was verified; when it is missing or a file has changed since, `build` makes it anew.

    `build(folder)` fills an empty folder, verifies it and raises EngineError when it is not what is pinned.
    """
    if is_whole(target):
        return target
    with _locked(target):
        if not is_whole(target):
            _build(target, build)
    return target


def is_whole(target: Path) -> bool:
    """Cheap: compares sizes and times with those at the verification, not contents."""
    with contextlib.suppress(OSError, ValueError):
        return bool(json.loads((target / STAMP).read_text()) == _state(target))
    return False


def verify(files: Path, pinned: Mapping[str, str]) -> None:
    """Compare the SHA-256 of each file of a folder with the pinned one.

    Raises:
        EngineError: A file is missing, is another one, or is not pinned at all.
    """
    found = {path.name: path for path in files.iterdir()}
    if missing := pinned.keys() - found.keys():
        raise EngineError(f"{files} lacks {sorted(missing)}; the package at this version should have brought them")
    if unknown := found.keys() - pinned.keys():
        raise EngineError(f"{files} has {sorted(unknown)}, which are not pinned; see the files *.sha256 in {HERE}")
    for name, path in found.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != pinned[name]:
            raise EngineError(f"{name} has the sha256 {digest}, but {pinned[name]} is pinned; do not use it")


def checksums(name: str) -> dict[str, str]:
    """A file in the form of sha256sum, beside this module → name of each file: its SHA-256."""
    lines = (HERE / name).read_text().splitlines()
    return {file: digest for digest, file in (line.split() for line in lines)}


def run(command: Sequence[str], *, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run an installer to its end; its output is in the error when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=INSTALL_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"cannot run {command[0]!r}: {error}") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-2048:]
        raise EngineError(f"{' '.join(command)!r} failed with exit code {done.returncode}:\n{output}")
    return done.stdout


def missing_programs(*names: str) -> str:
    """Why engines cannot run here when one of these programs is needed, or an empty string."""
    if platform.system() != "Linux":
        return "the engines for tests run on Linux only"
    if lacking := [name for name in names if not shutil.which(name)]:
        return f"no {' and no '.join(lacking)} on the PATH"
    if "java" in names and (version := _java_version()) < OLDEST_JAVA:
        return f"java is of version {version}, and {OLDEST_JAVA} or newer is needed"
    return ""


@functools.cache
def _java_version() -> int:
    """Of the Java on the PATH; 0 when it does not say."""
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found.group(1)) if found else 0


def _build(target: Path, build: Callable[[Path], None]) -> None:
    for left_over in (target, *target.parent.glob(f"{target.name}.*")):
        shutil.rmtree(left_over, ignore_errors=True)  # which leaves the lock, a file
    made = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        build(made)
        (made / STAMP).write_text(json.dumps(_state(made)))
        made.rename(target)
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state(target: Path) -> dict[str, list[int]]:
    """Of each file, but for the stamp itself: size in bytes, time of the last change in ns."""
    files = sorted(path for path in target.rglob("*") if path.is_file() and path.name != STAMP)
    return {str(path.relative_to(target)): [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
