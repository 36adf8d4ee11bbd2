"""The part of a lock that an image needs: requirements.lock on standard input -> the same lines on standard output,
without what is there for development alone.

    python deploy/runtime_lock.py < requirements.lock            # the dependencies of the package
    python deploy/runtime_lock.py setuptools wheel < …           # these, and what they need

The lock says after each package who asked for it (`# via …`), so nothing is resolved again. Standard library only.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence

_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==")  # extras are no part of it
_VIA = re.compile(r"^    #   (?:via )?(\S.*)$|^    # via (\S.*)$")
_PACKAGE = "headwater (pyproject.toml)"


def blocks_of(lock: str) -> Mapping[str, Sequence[tuple[str, frozenset[str]]]]:
    """By name of the package: its entries (a package may have one per Python) and who asked for each."""
    found: dict[str, list[tuple[list[str], set[str]]]] = {}
    entry: tuple[list[str], set[str]] | None = None
    for line in lock.splitlines():
        if name := _NAME.match(line):
            entry = ([], set())
            found.setdefault(name[1], []).append(entry)
        if entry is None:
            continue
        if via := _VIA.match(line):
            entry[1].add(via[1] or via[2])
        elif line.strip() and not line.lstrip().startswith("#"):
            entry[0].append(line)
    return {name: [("\n".join(text), frozenset(by)) for text, by in entries] for name, entries in found.items()}


def needed(lock: str, names: Sequence[str]) -> list[str]:
    """The entries of `names`, or of the package when there are none, and of what they need, in the lock's order."""
    blocks = blocks_of(lock)
    unknown = [name for name in names if name not in blocks]
    if unknown:
        raise SystemExit(f"not in the lock: {', '.join(unknown)}")
    chosen = set(names) or {name for name, entries in blocks.items() if any(_PACKAGE in by for _, by in entries)}
    while True:
        more = {name for name, entries in blocks.items() if any(chosen & by for _, by in entries)} - chosen
        if not more:
            return [text for name, entries in blocks.items() if name in chosen for text, _ in entries]
        chosen |= more


if __name__ == "__main__":
    sys.stdout.write("\n".join(needed(sys.stdin.read(), sys.argv[1:])) + "\n")
