"""Archive: one closed day of a lake table -> the archive's table; every record is visible once at every instant.

Steps of a move: claim the move, remove leftovers of an unfinished move, copy, read the copy back and compare. The last
commit deletes the day in the lake and notes that the move is finished (`lakehouse.lake.archive`). Readers use the
lake's rows until that commit and the archive's rows after it. The next run completes a move that was killed. The lake's
files stay until vacuum. If two moves of one table run, the later claim makes the earlier move fail before its commit.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from dataclasses import dataclass
from pathlib import Path

from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse import check_lake
from lakehouse.delta.races import retried
from lakehouse.delta.table import Delta
from lakehouse.lake.archive import ARCHIVE, MOVES, archive_url, copied_sql, finished_moves, is_visible
from lakehouse.lake.view import View
from lakehouse.s3.store import object_store, writing_options
from lakehouse.sql.literals import day_literal
from lakehouse.upkeep.archive import copying
from lakehouse.upkeep.care import Care

CLAIM = "moves:claim"  # app transaction of both tables: number of the current move's claim
LAKE = "moves:lake"  # app transaction of the archive: identity of the lake table whose days are there
FINISHED = "moves:finished"  # app transaction of the archive: number of the last finished move, or of the one before

CLAIMED = failpoint("archive.claimed", "the move is claimed in both tables")
CLEARED = failpoint("archive.cleared", "leftovers of an unfinished move are removed from the archive")
COPIED = failpoint("archive.copied", "the copy is in the archive, and the lake still has the day")
VERIFIED = failpoint("archive.verified", "the copy was read back and is equal, and the lake still has the day")
SWITCHED = failpoint("archive.switched", "the day belongs to the archive")


@dataclass(frozen=True, slots=True)
class Moved:
    """Result of a move; all numbers are 0 if the lake had no rows of the day.

    Attributes:
        bytes_before: Size of the day's files in the lake.
        bytes_after: Size of the files that this move wrote to the archive.
        move: Number of the move; 0: nothing was moved.
    """

    kind: Kind
    day: dt.date
    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    move: int
    took_s: float


def archive_table(care: Care, kind: Kind) -> Delta:
    """The archive's table of a kind, to write. Rows with a `move` above the lake's "moves" are not visible yet.

    A missing table is created, unless days were moved there before: then the operator has to bring the table back.

    Raises:
        ConfigError: HEADWATER_ARCHIVE_URL cannot work.
        StoreError: The table cannot be opened, or holds days of moves that this lake does not know.
    """
    return _archive_of(care, kind, care.table(kind.value))


def _archive_of(care: Care, kind: Kind, warm: Delta) -> Delta:
    url, first = archive_url(care.settings), not finished_moves(warm)
    archive = Delta(url, kind.value, writing_options(url, care.settings), ARCHIVE, create=first)
    if _is_unknown(archive, warm):
        warm.refresh()  # a move may have finished since the handle was opened
    if _is_unknown(archive, warm):
        raise StoreError(
            f"{archive.what} holds days of another lake, or of a later state of this lake: {archive.url}",
            hint="nothing was changed; set HEADWATER_ARCHIVE_URL to an archive that only this lake uses",
        )
    return archive


def _is_unknown(archive: Delta, warm: Delta) -> bool:
    """True if the archive has moves that the lake does not know; a move would remove them as unfinished."""
    later = (archive.noted(FINISHED) or 0) > finished_moves(warm)
    return later or archive.noted(LAKE) not in (None, warm.identity)


def moved_note(day: dt.date) -> str:
    """Name of the lake table's app transaction that holds the number of the day's last finished move."""
    return f"moved:{day.isoformat()}"


def day_sql(day: dt.date) -> str:
    return f"day = {day_literal(day)}"


def archive_day(care: Care, kind: Kind, day: dt.date) -> Moved:
    """Move the lake's rows of a day to the archive. Blocks until the copy is done; idempotent.

    If late rows land after a move, the next call moves them too.

    Raises:
        ConfigError: HEADWATER_ARCHIVE_URL cannot work.
        StoreError: The day is open; lake or archive cannot be read or written; the copy is not equal; another move of
            this table took over. The lake still has the day, and the same call may be repeated.
    """
    if day >= care.today():
        raise StoreError(f"{day} is not over: it cannot be moved to the archive", hint="check the clock")
    url = archive_url(care.settings)
    check_lake(url, care.settings)
    warm = care.table(kind.value)

    def moved() -> Moved:
        started_s = time.perf_counter()
        before = [file for file in warm.files() if file["partition.day"] == day]
        if not before:
            return Moved(kind, day, 0, 0, 0, 0, 0, 0, time.perf_counter() - started_s)
        archive = _archive_of(care, kind, warm)
        move = _move(care, warm, archive, day)
        after = [file for file in archive.files() if file["partition.day"] == day and file["partition.move"] == move]
        rows, bytes_after = (sum(file[name] for file in after) for name in ("num_records", "size_bytes"))
        bytes_before = sum(file["size_bytes"] for file in before)
        took_s = time.perf_counter() - started_s
        return Moved(kind, day, rows, len(before), len(after), bytes_before, bytes_after, move, took_s)

    return retried(warm, moved, hint="nothing is lost; try again")


def _move(care: Care, warm: Delta, archive: Delta, day: dt.date) -> int:
    """Try the move once, from the versions that the claim made; return the number of the move.

    Raises:
        CommitFailedError: Another process changed the day meanwhile; the lake still has the day.
    """
    began_s = time.time()
    claim = _claim(warm, archive)
    reach(CLAIMED)
    move = finished_moves(warm) + 1
    archive.delete(f"move >= {move:d}", {CLAIM: claim})
    _delete_uncommitted(care, archive, day, move, began_s)
    reach(CLEARED)
    try:
        copied = _copy(care, warm, archive, day, move, claim)
        reach(COPIED)
        _verify(archive, day, move, copied)
        reach(VERIFIED)
        _switch(warm, day, move, claim)
    except (CommitFailedError, StoreError):
        _check_claim(warm, claim)
        raise
    reach(SWITCHED)
    with contextlib.suppress(CommitFailedError, StoreError):  # the next claim notes the number too
        archive.note({FINISHED: move})
    return move


def _claim(warm: Delta, archive: Delta) -> int:
    """Note in both tables that a move begins; from now on earlier claims cannot commit to either table."""
    claim = max(warm.noted(CLAIM) or 0, archive.noted(CLAIM) or 0) + 1
    for table, more in ((warm, {}), (archive, {LAKE: warm.identity, FINISHED: finished_moves(warm)})):
        table.note({CLAIM: claim, **more})
        table.refresh()
        if table.noted(CLAIM) != claim:
            raise _taken_over(table)
    return claim


def _check_claim(warm: Delta, claim: int) -> None:
    warm.refresh()
    if warm.noted(CLAIM) != claim:
        raise _taken_over(warm)


def _taken_over(table: Delta) -> StoreError:
    return StoreError(f"another move of {table.what} took over", hint="run one move at a time", retry_after_s=60)


def _copy(care: Care, warm: Delta, archive: Delta, day: dt.date, move: int, claim: int) -> copying.Prints:
    return copying.copy(warm, archive, day, {"move": move}, {CLAIM: claim}, care.settings.data / "tmp")


def _verify(archive: Delta, day: dt.date, move: int, copied: copying.Prints) -> None:
    archive.refresh()
    found = copying.prints(archive, f"{day_sql(day)} AND move = {move:d}")
    if found != copied:
        raise StoreError(
            f"the copy of {day} in {archive.what} is not equal: {found.differs(copied)}",
            hint="the lake keeps the day; check the archive's disk or object store",
            retry_after_s=60,
        )


def _switch(warm: Delta, day: dt.date, move: int, claim: int) -> None:
    warm.delete(day_sql(day), {MOVES: move, moved_note(day): move, CLAIM: claim})


def _delete_uncommitted(care: Care, archive: Delta, day: dt.date, move: int, before_s: float) -> None:
    """Delete files that an earlier copy wrote and never committed. In a bucket such files stay until vacuum.

    Args:
        before_s: Younger files stay: a move that took over may have written them.
    """
    url = archive_url(care.settings)
    if object_store(url, care.settings) is not None:
        return
    for path in Path(f"{url}/{archive.name}/day={day.isoformat()}/move={move:d}").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before_s:
                path.unlink()


def remove_leftovers(care: Care, kind: Kind) -> int:
    """Remove the rows that an unfinished move left in the archive; return their number. A running move fails.

    Raises:
        StoreError: The archive cannot be read or written, or another move took over.
    """
    warm = care.table(kind.value)
    archive = _archive_of(care, kind, warm)
    moves = finished_moves(warm)
    if all(is_visible(file["partition.move"], moves) for file in archive.files()):
        return 0
    try:
        return archive.delete(copied_sql(moves), {CLAIM: _claim(warm, archive)})
    except CommitFailedError as error:
        raise _taken_over(warm) from error


def end_moves(care: Care, kind: Kind, archive: Delta) -> None:
    """Make a running move to `archive` fail, so that the rows it has read are not written there.

    Raises:
        StoreError: Lake or archive cannot be read or written, or other moves claim them all the time.
    """
    warm = care.table(kind.value)

    def claimed() -> None:
        warm.refresh()
        archive.refresh()
        if not _is_unknown(archive, warm):  # else no move of this lake can write there
            _claim(warm, archive)

    retried(warm, claimed)


def archived_days(care: Care, kind: Kind) -> tuple[dt.date, ...]:
    """Days of the rows in the archive, ascending. The archive is opened only if the lake has noted a move.

    Raises:
        StoreError: Lake or archive cannot be read.
    """
    view = View.pin(care.table(kind.value), lambda: archive_table(care, kind))
    return tuple(sorted({file["partition.day"] for file in view.archived_files()}))
