"""The shop's log files: lines -> one growing file per service, rotated while an agent tails it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from io import TextIOWrapper
from pathlib import Path

from headwater.demo.shop import SERVICES, Line

ROTATE_S = 2.5  # like logrotate, but often; longer than the interval at which an agent looks for new files
KEEP = 9


class ShopFiles:
    """Files `<folder>/<service>.log`; every `ROTATE_S` the file is renamed to `.log.1` and a new file begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._files: dict[str, TextIOWrapper] = {service: self._open(service) for service in SERVICES}
        # The services rotate one after the other.
        self._next_s = {
            service: time.monotonic() + ROTATE_S * (1 + number / len(SERVICES))
            for number, service in enumerate(SERVICES)
        }
        self.rotations = 0

    def path(self, service: str) -> Path:
        return self._folder / f"{service}.log"

    def write(self, lines: Iterable[Line]) -> None:
        """Append the lines and flush, so that the agents see them."""
        for line in lines:
            self._files[line.service].write(line.text + "\n")
        for service, file in self._files.items():
            file.flush()
            if time.monotonic() >= self._next_s[service]:
                self._rotate(service)

    def close(self) -> None:
        for file in self._files.values():
            file.close()

    def _open(self, service: str) -> TextIOWrapper:
        return self.path(service).open("a", encoding="utf-8")

    def _rotate(self, service: str) -> None:
        path = self.path(service)
        for number in range(KEEP - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        path.replace(path.with_name(f"{path.name}.1"))
        self._files[service].close()
        self._files[service] = self._open(service)
        self._next_s[service] = time.monotonic() + ROTATE_S
        self.rotations += 1
