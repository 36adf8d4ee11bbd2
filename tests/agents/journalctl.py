"""A journalctl over a file of JSON lines: the options that the agent uses, with the behaviour of systemd 252."""

from __future__ import annotations

import json
import stat
import sys
from pathlib import Path

PROGRAM = """#!{python}
import json, sys, time
options = dict(each.lstrip("-").partition("=")[::2] for each in sys.argv[1:])
with open("{journal}.calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
lines = lambda: open("{journal}", "rb").read().split(b"\\n")[:-1]
cursor = lambda line: line.partition(b'"__CURSOR": "')[2].partition(b'"')[0].decode()
have = lines()
at = 0
wanted = options.get("after-cursor", options.get("cursor", ""))
if wanted == "bad":
    sys.exit("Failed to seek to cursor: Invalid argument")
places = [place for place, line in enumerate(have) if cursor(line) == wanted]
if wanted:
    at = places[0] + ("after-cursor" in options) if places else 0
elif options.get("lines", "10") != "all":
    at = max(0, len(have) - int(options.get("lines", "10")))
most = len(have) if options.get("lines") == "all" or not wanted else at + int(options.get("lines", "10"))
end = len(have) if "follow" in options else min(most, len(have))
while True:
    for line in have[at:end]:
        sys.stdout.buffer.write(line + b"\\n")
    sys.stdout.flush()
    at = end
    if "follow" not in options:
        break
    time.sleep(0.01)
    have = lines()
    end = len(have)
"""


class FakeJournal:
    """Entries in a file, and a program that reads them."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "journal"
        self._file.touch()
        self.program = folder / "journalctl"
        self.program.write_text(PROGRAM.format(python=sys.executable, journal=self._file))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        self._count = 0

    def write(self, *messages: object, **fields: object) -> None:
        for message in messages:
            self._count += 1
            entry = {
                "__CURSOR": f"s=1;i={self._count:x}",
                "__REALTIME_TIMESTAMP": str(1_796_067_607_000_000 + self._count),
                "_HOSTNAME": "node1",
                "MESSAGE": message,
                **fields,
            }
            self.write_line(json.dumps(entry))

    def write_line(self, line: str) -> None:
        with self._file.open("a") as file:
            file.write(line + "\n")

    def forget(self, count: int) -> None:
        """Delete the oldest entries, as journald does when it has no room."""
        self._file.write_text("".join(f"{line}\n" for line in self._file.read_text().splitlines()[count:]))

    def calls(self) -> list[str]:
        path = self._file.with_suffix(".calls")
        return path.read_text().splitlines() if path.exists() else []
