"""For the tests of this room: the real command and its processes, found, waited for and ended by pid."""

from __future__ import annotations

import contextlib
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from headwater import commands
from tests import children

COMMANDS = [  # what `headwater` imports when it knows which command it is
    *(module.name for module in pkgutil.iter_modules(commands.__path__, f"{commands.__name__}.")),
    "headwater.doctor.checks",
]


def headwater(
    folder: Path, *words: str, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> subprocess.CompletedProcess[str]:
    """`headwater WORDS`, run to its end in `folder`."""
    return children.run("headwater", *words, folder=folder, env=env, loads=COMMANDS, timeout_s=timeout_s)


@contextlib.contextmanager
def started(folder: Path, *command: str, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its output in `<folder>/output`; SIGTERM, then SIGKILL at the end."""
    with (folder / "output").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=children.clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(12)
        process.kill()
        process.wait()


def output(folder: Path) -> str:
    path = folder / "output"
    return path.read_text(errors="replace") if path.exists() else ""


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children_of(pid: int) -> dict[str, int]:
    """Pids of direct children by the module they run."""
    found: dict[str, int] = {}
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{number}/cmdline").read_bytes().decode().split("\0")
            if len(words) > 1:  # one that has just ended has none
                found[words[words.index("-m") + 1] if "-m" in words else words[1]] = int(number)
    return found
