"""Seeds -> lines as eight kinds of programs and one web server write them, each with the level that stands in it.

The shapes are those of the programs; hosts, names and texts are made up.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

START = dt.datetime(2025, 3, 9, 6, 59, 58, 250_000, tzinfo=dt.UTC)
NOUNS = (
    "order",
    "cart",
    "session",
    "block",
    "index",
    "lease",
    "snapshot",
    "queue",
    "shard",
    "worker",
    "token",
    "cache",
)
VERBS = ("opened", "closed", "moved", "replicated", "expired", "rejected", "renewed", "merged", "lost", "rebuilt")
HOSTS = ("node-a", "node-b", "db7", "edge-12", "build")


@dataclass(frozen=True, slots=True)
class Line:
    """`level`: as it should be read; "" when the line has none."""

    text: str
    level: str


def _words(chance: random.Random) -> str:
    noun, verb = chance.choice(NOUNS), chance.choice(VERBS)
    tail = chance.choice(
        ("", f" in {chance.randrange(9000)} ms", f" by {chance.choice(HOSTS)}", f" (try {chance.randrange(9)})")
    )
    return f"{noun} {chance.randrange(100_000)} {verb}{tail}"


def _level(chance: random.Random, levels: dict[str, str]) -> tuple[str, str]:
    """As written, and as read."""
    return chance.choice(sorted(levels.items()))


def _phone(chance: random.Random, at: dt.datetime) -> Line:
    letter, level = _level(chance, {"V": "TRACE", "D": "DEBUG", "I": "INFO", "W": "WARN", "E": "ERROR"})
    ids = f"{chance.randrange(100, 9999):5d} {chance.randrange(100, 9999):5d}"
    pairs = chance.choice(("", ' lock=233, flags=0x1, tag="View Lock", ws=null', " size=12.5kB count=007 ratio=0.50"))
    time = f"{at:%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    return Line(f"{time} {ids} {letter} PowerKeeper: {_words(chance)}{pairs}", level)


def _web(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"notice": "INFO", "error": "ERROR", "warn": "WARN"})
    client = chance.choice(("", f"[client 10.0.{chance.randrange(256)}.7] "))
    return Line(f"[{at:%a %b %d %H:%M:%S %Y}] [{word}] {client}{_words(chance)}", level)


def _blocks(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"INFO": "INFO", "WARN": "WARN"})
    name = chance.choice(("store.Receiver", "store.Node$Packets", "names.System"))
    return Line(
        f"{at:%y%m%d %H%M%S} {chance.randrange(3000)} {word} {name}: blk_-{chance.getrandbits(60)} {_words(chance)}",
        level,
    )


def _system(chance: random.Random, at: dt.datetime) -> Line:
    program = chance.choice(("crond[4821]", "kernel", "ftpd(session)[77]", "su(pam_unix)[4]"))
    word, level = _level(chance, {"": "", "error: ": "ERROR", "warning: ": "WARN"})
    return Line(f"{at:%b %e %H:%M:%S} {chance.choice(HOSTS)} {program}: {word}{_words(chance)}", level)


def _shell(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"": "", "error: ": "ERROR", "fatal: ": "FATAL"})
    text = f"{word}connection {_words(chance)} from 192.0.2.{chance.randrange(256)} port {chance.randrange(65536)} ssh2"
    return Line(f"{at:%b %d %H:%M:%S} bastion sshd[{chance.randrange(30_000)}]: {text}", level)


def _cloud(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"INFO": "INFO", "WARNING": "WARN", "ERROR": "ERROR"})
    time = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    request = f"[req-{chance.getrandbits(32):08x} {chance.getrandbits(64):016x} - - -]"
    source = f"stack-api.log.1.{at:%Y-%m-%d_%H:%M:%S} {time} {chance.randrange(30_000)}"
    return Line(f"{source} {word} stack.api.wsgi {request} {_words(chance)}", level)


def _cluster(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"INFO": "INFO", "WARN": "WARN", "ERROR": "ERROR"})
    return Line(f"{at:%y/%m/%d %H:%M:%S} {word} executor.Runner: {_words(chance)}", level)


def _quorum(chance: random.Random, at: dt.datetime) -> Line:
    word, level = _level(chance, {"INFO ": "INFO", "WARN ": "WARN", "ERROR": "ERROR"})
    time = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03d}"
    return Line(
        f"{time} - {word} [Peer[id=1]/0:0:0:0:0:0:0:0:2181:Election@{chance.randrange(999)}] - {_words(chance)}", level
    )


def _access(chance: random.Random, at: dt.datetime) -> Line:
    status = chance.choice((200, 200, 200, 304, 404, 500))
    size = chance.choice(("-", str(chance.randrange(200_000))))
    path = f"/{chance.choice(NOUNS)}/{chance.randrange(500)}?q={chance.choice(('a', 'b%20c', '%22'))}"
    agent = chance.choice(('"Browser/5.0 (X11; Linux x86_64)"', '"probe/1.2"', '"-"'))
    user = chance.choice(("-", "ada"))
    client = f"198.51.100.{chance.randrange(256)} - {user} [{at:%d/%b/%Y:%H:%M:%S} +0000]"
    shop = f"https://shop.example/{chance.choice(NOUNS)}"
    return Line(f'{client} "GET {path} HTTP/1.1" {status} {size} "{shop}" {agent}', "")


SYSTEMS: dict[str, Callable[[random.Random, dt.datetime], Line]] = {
    "phone": _phone,
    "web": _web,
    "blocks": _blocks,
    "system": _system,
    "shell": _shell,
    "cloud": _cloud,
    "cluster": _cluster,
    "quorum": _quorum,
}
ACCESS = "access"


def lines(system: str, count: int = 400, seed: int = 1) -> list[Line]:
    """`count` lines of one of SYSTEMS or of ACCESS, in order of time; some are alike."""
    chance = random.Random(f"{seed}/{system}")
    write = {**SYSTEMS, ACCESS: _access}[system]
    at, made = START, list[Line]()
    for _ in range(count):
        made.append(made[-1] if made and chance.random() < 0.03 else write(chance, at))
        at += dt.timedelta(milliseconds=chance.choice((0, 1, 7, 250, 4000)))
    return made


def write_files(folder: Path, count: int) -> list[Path]:
    """A file of each of SYSTEMS and of ACCESS; one has lines that end as on Windows, one bytes that are no UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for system in (*SYSTEMS, ACCESS):
        end = "\r\n" if system == "quorum" else "\n"
        text = "".join(f"{line.text}{end}" for line in lines(system, count)).encode()
        if system == "system":
            text = text.replace(b"session", b"s\xe9ssion")
        paths.append(folder / f"{system}.log")
        paths[-1].write_bytes(text)
    return paths
