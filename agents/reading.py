"""Reading: files, standard input and the journal -> one frame of records and positions a round, until a stop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from agents.agent import STATUS_S, Agent
from agents.follow import Follower, Taken
from agents.journald import Journald
from agents.lines import Part
from agents.pipe import Pipe
from agents.positions import Position
from agents.tail import Tail

FRAME_BYTES = 1 << 20  # a round of reading with more bytes of records is stored at once


class Reading:
    """All sources of one agent. Not thread-safe.

    A file that the patterns of several tails match belongs to the first of them.
    """

    def __init__(
        self, agent: Agent, tails: Sequence[Tail], pipe: Pipe | None = None, journals: Sequence[Journald] = ()
    ) -> None:
        self._agent, self._tails, self._pipe, self._journals = agent, tails, pipe, journals
        for tail in tails[1:]:
            tail.share(tails[0])
        agent.extra = self._facts

    def run(self, until_idle: bool) -> int:
        """Read until the agent stops; with `until_idle` until everything is read and acknowledged.

        Returns:
            0, or 1 if the service refuses the key while the agent waits to become idle.
        """
        agent = self._agent
        looked_s = -1e9
        poll_s = agent.settings.agent_poll_s
        while not agent.stopping.is_set():
            now_s = time.monotonic()
            if now_s - looked_s >= poll_s:
                self._look(now_s)
                looked_s = now_s
            read = self._round(now_s)
            agent.save_status(every_s=STATUS_S)
            if read:
                continue
            if until_idle and self._at_end():
                agent.shipper.hurry()
                if agent.drained():
                    return 0
                if agent.shipper.denied:
                    return 1
                poll_s = min(poll_s, 0.02)
            agent.stopping.wait(poll_s)
        if self._pipe and (parts := self._pipe.finish(time.time_ns())) and agent.store(parts, {}):
            agent.counters.add(read_lines=sum(part.count for part in parts))
        return 0

    def close(self) -> None:
        for tail in self._tails:
            tail.close()
        for journal in self._journals:
            journal.close()

    def _look(self, now_s: float) -> None:
        others: set[str] = set()
        for tail in self._tails:
            tail.look(now_s, others)
            others |= tail.keys()

    def _at_end(self) -> bool:
        of_files = all(tail.at_end() for tail in self._tails)
        return of_files and all(each.at_end() for each in self._journals) and (self._pipe is None or self._pipe.ended)

    def _facts(self) -> dict[str, int]:
        return {
            "files": sum(map(len, self._tails)),
            "behind_bytes": sum(tail.behind_bytes() for tail in self._tails),
            "journal_gaps": sum(journal.gaps for journal in self._journals),
        }

    def _round(self, now_s: float) -> int:
        """Read each source once and store the records as one frame; return the raw bytes read."""
        observed_ns = time.time_ns()
        for tail in self._tails:
            tail.judge(observed_ns)
        takes = _some(taken for tail in self._tails for taken in tail.takes(now_s, observed_ns))
        parts = [part for _, taken in takes for part in taken.parts]
        size = sum(taken.size for _, taken in takes)
        positions: dict[str, Position | None] = {}
        for tail in self._tails:
            positions |= tail.changes()
        positions |= {taken.position.key: taken.position for _, taken in takes}
        if self._pipe:
            piped, piped_bytes = self._pipe.take(now_s, observed_ns)
            parts += piped
            size += piped_bytes
        journals = self._of_journals(now_s, observed_ns, parts)
        positions |= {journal.key: position for journal, position, _ in journals}
        if parts or positions:
            if not self._agent.store(parts, positions):
                return 0
            for follower, taken in takes:
                follower.commit(taken)
            for journal, position, _ in journals:
                journal.commit(position)
        size += sum(read for _, _, read in journals)
        nul_bytes = sum(taken.nul_bytes for _, taken in takes)
        self._agent.counters.add(read_lines=sum(part.count for part in parts), read_bytes=size, nul_bytes=nul_bytes)
        return size

    def _of_journals(self, now_s: float, observed_ns: int, parts: list[Part]) -> list[tuple[Journald, Position, int]]:
        """Add the records of the journals to `parts`; the positions after them, and the bytes read."""
        found = []
        for journal in self._journals:
            entries, position, size = journal.take(now_s, observed_ns)
            parts += entries
            if position:
                found.append((journal, position, size))
        return found


def _some(takes: Iterator[tuple[Follower, Taken]]) -> list[tuple[Follower, Taken]]:
    """Reads for one frame of about `FRAME_BYTES`; files that were not reached come first in the next round."""
    chosen: list[tuple[Follower, Taken]] = []
    size = 0
    for follower, taken in takes:
        chosen.append((follower, taken))
        size += sum(len(part.payload) for part in taken.parts)
        if size >= FRAME_BYTES:
            break
    return chosen
