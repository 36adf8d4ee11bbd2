"""A real agent process, killed at seeded moments while files are written and rotated -> what is missing or doubled."""

from __future__ import annotations

import collections
import gzip
import os
import random
import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.agents.server import Reply, Request, Sink, well_behaved
from tests.children import Child


class Misbehaving:
    """Stores and drops the ack, or refuses for now, at seeded requests."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self.calm = False

    def __call__(self, request: Request, number: int) -> Reply:
        chance = 1.0 if self.calm else self._rng.random()
        if chance < 0.08:
            return Reply(cut=True)
        if chance < 0.16:
            return Reply(503, store=False, headers={"Retry-After": "0"})
        if chance < 0.20:
            return Reply(429, store=False, headers={"Retry-After": "0"})
        return well_behaved(request, number)


class Writer(threading.Thread):
    """Appends numbered lines to files, in pieces that do not end with lines, and rotates them by renaming."""

    names: tuple[str, ...] = ("app", "web")
    rotations = 0.02  # per write

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(name="writer", daemon=True)
        self.written: list[str] = []
        self.rotating = threading.Event()
        self.ending = threading.Event()
        self._folder = folder
        self._rng = random.Random(seed)

    def run(self) -> None:
        while not self.ending.wait(0.01):
            name = self._rng.choice(self.names)
            data, records = self.records(name)
            cut = self._rng.randrange(len(data))
            for piece in (data[:cut], data[cut:]):
                with (self._folder / f"{name}.log").open("ab") as file:
                    file.write(piece)
                self.ending.wait(0.005)
            self.written += records
            if self._rng.random() < self.rotations and self.rotating.is_set():
                self._rotate(name)

    def records(self, name: str) -> tuple[bytes, list[str]]:
        """Bytes to write, and the records that are in them."""
        lines = [f"{name} {len(self.written) + i} {'x' * self._rng.randrange(300)}" for i in range(20)]
        return "".join(f"{line}\n" for line in lines).encode(), lines

    def _rotate(self, name: str) -> None:
        rotated = sorted(self._folder.glob(f"{name}.log.*"), reverse=True)
        for path in rotated:
            path.rename(path.with_suffix(f".{int(path.suffix[1:]) + 1:04d}"))
        (self._folder / f"{name}.log").rename(self._folder / f"{name}.log.0001")


class ManyFiles(Writer):
    """More files than the agent of `FEW_DESCRIPTORS` may hold open."""

    names = tuple(f"service{number}" for number in range(30))


class Compressing(Writer):
    """Rotates often, and compresses the log before the last one, as `delaycompress` does; slowly, as `xz -9` would."""

    rotations = 0.06

    def _rotate(self, name: str) -> None:
        for path in sorted(self._folder.glob(f"{name}.log.*"), reverse=True):
            _, number, *suffix = path.name.removeprefix(f"{name}.").split(".")
            path.rename(self._folder / ".".join([name, "log", f"{int(number) + 1:04d}", *suffix]))
        (self._folder / f"{name}.log").rename(self._folder / f"{name}.log.0001")
        last = self._folder / f"{name}.log.0002"
        if last.exists():
            compress(last)


def compress(path: Path) -> None:
    data, status = gzip.compress(path.read_bytes()), path.stat()
    packed = path.with_name(f"{path.name}.gz")
    with packed.open("wb") as file:
        for half in (data[: len(data) // 2], data[len(data) // 2 :]):
            file.write(half)
            file.flush()
            time.sleep(0.005)
    os.utime(packed, ns=(status.st_mtime_ns, status.st_mtime_ns))
    path.unlink()


class CopyTruncating(Writer):
    """Copies and truncates, and compresses the copy before the last one. Nothing is written meanwhile."""

    rotations = 0.06

    def _rotate(self, name: str) -> None:
        number = len(list(self._folder.glob(f"{name}-*")))
        log, copy = self._folder / f"{name}.log", self._folder / f"{name}-{number:04d}.log"
        shutil.copy(log, copy)
        os.truncate(log, 0)
        if (before := self._folder / f"{name}-{number - 1:04d}.log").exists():
            compress(before)


class Traces(Writer):
    """Records of several lines: traces, and lines of containers in pieces."""

    names = ("java", "pod")

    def records(self, name: str) -> tuple[bytes, list[str]]:
        return self._java() if name == "java" else self._pod()

    def _java(self) -> tuple[bytes, list[str]]:
        records = [
            "\n".join((f"2026-11-30 19:40:07 ERROR {len(self.written) + i}", *["\tat x"] * self._rng.randrange(30)))
            for i in range(5)
        ]
        return "".join(f"{record}\n" for record in records).encode(), records

    def _pod(self) -> tuple[bytes, list[str]]:
        """Traces on stderr and lines in pieces on stdout, mixed."""
        lines: list[str] = []
        records: list[str] = []
        for i in range(5):
            head = f"2026-11-30T19:40:07.{len(self.written) + i:09}Z"
            pieces = [f"{number}," for number in range(self._rng.randrange(1, 9))]
            lines += [f"{head} stderr F failed"]
            lines += [f"{head} stdout P {piece}\n{head} stderr F \tat {piece}" for piece in pieces]
            lines += [f"{head} stdout F end"]
            records += ["\n".join((f"{head} stderr F failed", *(f"\tat {piece}" for piece in pieces)))]
            records += [f"{head} stdout F {''.join(pieces)}end"]
        return "".join(f"{line}\n" for line in lines).encode(), records


SOON = {"HEADWATER_AGENT_MULTILINE_S": "0.2"}  # a last record that may go on is sent
FEW_DESCRIPTORS = {"HEADWATER_AGENT_OPEN_FILES": "8"}


def start(
    folder: Path, url: str, sabotage: str, *options: str, command: Sequence[str] = (), **environment: str
) -> Child:
    """An agent of the files below `folder`; `command` runs another one."""
    module = ["tests.agents.sabotaged", sabotage] if sabotage else ["agents"]
    words = [*module, *(command or ("logs", "--path", str(folder / "logs" / "*.log*"))), *options]
    settings = {
        "HEADWATER_INGEST_URL": url,
        "HEADWATER_API_KEY": "k",
        "HEADWATER_AGENT_DIR": str(folder / "agent"),
        "HEADWATER_AGENT_POLL_S": "0.01",
        "HEADWATER_AGENT_BATCH_WAIT_S": "0.01",
        "HEADWATER_AGENT_BATCH_RECORDS": "200",
        "HEADWATER_AGENT_BUFFER_MIB": "1",
        "HEADWATER_AGENT_RETRY_MAX_S": "0.05",
        "HEADWATER_AGENT_PARTIAL_LINE_S": "20",
        "HEADWATER_AGENT_MULTILINE_S": "20",
        **environment,
    }
    with (folder / "agent.txt").open("ab") as log:
        return Child(*words, env=settings, loads=["agents.__main__"], output=log)


def until_seen(sink: Sink, more_than: int, process: Child) -> None:
    """Until the agent has come so far that a kill hits it at work."""
    deadline = time.monotonic() + 20
    while len(sink.requests) <= more_than and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)


def until_known(sink: Sink, writer: Writer, process: Child) -> None:
    """Until the agent has read of each log; only then logs are rotated, so that none comes and goes unseen."""
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        records = (record for request in sink.taken for record in request.records())
        if {record["attributes"]["log.file.name"].partition(".")[0] for record in records} >= set(writer.names):
            writer.rotating.set()
            return
        time.sleep(0.05)


def crash(
    folder: Path, seed: int, kills: int, sabotage: str = "", writes: type[Writer] = Writer, **settings: str
) -> list[str]:
    """Run the scenario; [] when every line arrived exactly once. `settings`: environment of the agent."""
    rng = random.Random(seed)
    (folder / "logs").mkdir(parents=True)
    behaviour = Misbehaving(seed)
    sink = Sink(behaviour)
    writer = writes(folder / "logs", seed)
    writer.start()
    try:
        for _ in range(kills):
            before = len(sink.requests)
            process = start(folder, sink.url, sabotage, **settings)
            until_seen(sink, before + 1, process)
            if not writer.rotating.is_set():
                until_known(sink, writer, process)
            time.sleep(rng.uniform(0.0, 0.4))
            process.kill()
            process.wait()
        writer.ending.set()
        writer.join()
        behaviour.calm = True
        last = start(folder, sink.url, sabotage, "--exit-when-idle", **{**settings, **SOON})
        assert last.wait(60) == 0, (folder / "agent.txt").read_text()[-2000:]
        return faults(writer.written, sink)
    finally:
        writer.ending.set()
        sink.close()


def faults(written: list[str], sink: Sink) -> list[str]:
    try:
        found = collections.Counter(sink.bodies())
        epochs = {epoch for epoch, _ in sink.by_sequence()}
    except AssertionError as error:
        return [str(error)]
    truth = set(written)
    missing = [line for line in written if line not in found]
    strange = [line for line in found if line not in truth]
    doubled = [line for line, count in found.items() if count > 1]
    report = [f"{len(missing)} missing: {missing[:3]}"] if missing else []
    report += [f"{len(strange)} strange: {strange[:3]}"] if strange else []
    report += [f"{len(doubled)} doubled: {doubled[:3]}"] if doubled else []
    return report + ([f"epochs {epochs}"] if epochs != {0} else [])
