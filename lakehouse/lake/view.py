"""View: a kind's tables of lake and archive, pinned as of one moment -> their files, and SQL over the rows that count.

The lake is pinned first and the archive after it, so that a day which moves meanwhile is in one of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from deltalake import QueryBuilder

from lakehouse.delta.table import Delta, translated
from lakehouse.lake.archive import archived_name, finished_moves, visible_files, visible_sql


@dataclass(frozen=True, slots=True)
class PinnedTable:
    """One table of a view.

    Attributes:
        name: Of the table in SQL.
        visible: Condition on its rows: those that the view has.
    """

    tier: str
    table: Delta
    name: str
    visible: str


@dataclass(frozen=True, slots=True)
class View:
    """Attributes:
    archive: None when no move is finished, or when none was asked for.
    moves: Moves to the archive that are finished in this version of the lake.
    """

    lake: Delta
    archive: Delta | None = None
    moves: int = 0

    @classmethod
    def pin(cls, lake: Delta, archive: Callable[[], Delta], since_move: int = 0) -> Self:
        """The version that `lake` is at, and the archive's newest.

        Args:
            archive: Opens the archive; called after the lake was pinned, and only when it is needed.
            since_move: The archive is left out when no later move is finished.

        Raises:
            StoreError: The archive cannot be opened.
        """
        moves = finished_moves(lake)
        return cls(lake, archive() if moves > since_move else None, moves)

    def parts(self) -> Iterator[PinnedTable]:
        yield PinnedTable("lake", self.lake, self.lake.name, "TRUE")
        yield from self.archived()

    def archived(self) -> Iterator[PinnedTable]:
        if self.archive is not None:
            yield PinnedTable("archive", self.archive, archived_name(self.lake.name), visible_sql(self.moves))

    def archived_files(self) -> Sequence[dict[str, Any]]:
        """The archive's files with rows of this view."""
        return [] if self.archive is None else visible_files(self.archive, self.moves)

    def register(self, builder: QueryBuilder) -> None:
        """Make every table known to `builder` by its name."""
        for part in self.parts():
            part.table.register(builder, part.name)

    def rows_sql(self, columns: str, where: str = "TRUE") -> str:
        """The rows that match as a subquery to select from."""
        parts = [f"SELECT {columns} FROM {part.name} WHERE ({where}) AND {part.visible}" for part in self.parts()]
        return f"({' UNION ALL '.join(parts)}) AS every_row"


def bounded(memory_mib: int) -> QueryBuilder:
    """An engine that takes so much memory for a query; past that it writes to the system's temporary folder."""
    builder = QueryBuilder()
    with translated("lake query cannot be set up"):
        builder.execute(f"SET datafusion.runtime.memory_limit = '{memory_mib}M'")
    return builder
