"""Archive: one closed day of a table of the lake -> the archive's table, each record visible once at every instant.

A move is: claim it, clear what an unfinished one left, copy, read the copy back and compare, then delete the day in the
lake and note, in that same commit, that the move is finished (`lakehouse.lake.archive`). Killed anywhere, the next run
completes it: until the last commit readers have the lake's rows, from then on the archive's. The lake's files stay
until vacuum. Two moves of one table at once: the later claim makes the earlier one fail before it can do harm.
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

CLAIM = "moves:claim"  # app transaction of both tables: who moves now
LAKE = "moves:lake"  # of the archive: the identity of the lake's table whose days are there
FINISHED = "moves:finished"  # of the archive: the number of a finished move, the last one or the one before

CLAIMED = failpoint("archive.claimed", "the move is claimed in both tables")
CLEARED = failpoint("archive.cleared", "what an unfinished move had left in the archive is gone")
COPIED = failpoint("archive.copied", "the copy is in the archive, and the lake still has the day")
VERIFIED = failpoint("archive.verified", "the copy was read back and is equal, and the lake still has the day")
SWITCHED = failpoint("archive.switched", "the day is the archive's")


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did; of a day without rows in the lake, nothing.

    Attributes:
        bytes_before: Of the day's files in the lake.
        bytes_after: Of its files in the archive that this move made.
        move: Its number; 0 when there was nothing to move.
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
    """The archive's table of a kind, to write. Rows with a `move` above the lake's "moves" are not there yet.

    It is made when it is missing, unless days were moved there: then somebody else has to bring it back.

    Raises:
        ConfigError: HEADWATER_ARCHIVE_URL cannot work.
        StoreError: It cannot be opened, or has days that this lake knows nothing of.
    """
    return _archive_of(care, kind, care.table(kind.value))


def _archive_of(care: Care, kind: Kind, warm: Delta) -> Delta:
    url, first = archive_url(care.settings), not finished_moves(warm)
    archive = Delta(url, kind.value, writing_options(url, care.settings), ARCHIVE, create=first)
    if _is_unknown(archive, warm):
        warm.refresh()  # a move may have ended since
    if _is_unknown(archive, warm):
        raise StoreError(
            f"{archive.what} has days of another lake, or of a later state of this one: {archive.url}",
            hint="nothing there is changed; give this lake an archive of its own by HEADWATER_ARCHIVE_URL",
        )
    return archive


def _is_unknown(archive: Delta, warm: Delta) -> bool:
    """Whether the archive has moves that the lake does not know of: they would be taken for unfinished and removed."""
    later = (archive.noted(FINISHED) or 0) > finished_moves(warm)
    return later or archive.noted(LAKE) not in (None, warm.identity)


def moved_note(day: dt.date) -> str:
    """App transaction of the lake's table: the number of the last finished move of a day."""
    return f"moved:{day.isoformat()}"


def day_sql(day: dt.date) -> str:
    return f"day = {day_literal(day)}"


def archive_day(care: Care, kind: Kind, day: dt.date) -> Moved:
    """Move what the lake has of a day to the archive. Blocks for the time of a copy; idempotent.

    A day whose late rows landed after its move is moved again.

    Raises:
        ConfigError: HEADWATER_ARCHIVE_URL cannot work.
        StoreError: The day is open; lake or archive cannot be read or written; the copy is not equal; another move of
            this table took over. The lake has the day still, and the same call may be repeated.
    """
    if day >= care.today():
        raise StoreError(f"{day} is not over: it cannot be moved to the archive", hint="see that the clock is right")
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

    return retried(warm, moved, hint="nothing is lost; the same call may be repeated")


def _move(care: Care, warm: Delta, archive: Delta, day: dt.date) -> int:
    """One attempt, from the versions that the claim made; the number of the move.

    Raises:
        CommitFailedError: Somebody changed the day meanwhile; the lake has it still.
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
    with contextlib.suppress(CommitFailedError, StoreError):  # the next claim says so too
        archive.note({FINISHED: move})
    return move


def _claim(warm: Delta, archive: Delta) -> int:
    """Note in both tables that a move begins; whoever claimed before cannot commit to either from now on."""
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
    return StoreError(f"another move of {table.what} took over", hint="let one run at a time", retry_after_s=60)


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
    """Files that a killed copy, or one that found the disk full, left without a commit. A bucket's wait for vacuum.

    Args:
        before_s: What was written later is of a move that took over, and that this one does not know of yet.
    """
    url = archive_url(care.settings)
    if object_store(url, care.settings) is not None:
        return
    for path in Path(f"{url}/{archive.name}/day={day.isoformat()}/move={move:d}").glob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before_s:
                path.unlink()


def remove_leftovers(care: Care, kind: Kind) -> int:
    """Remove what an unfinished move left in the archive; how many rows that were. A move that runs now fails.

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
    """Make a move to `archive` that runs now fail: what it has read must not come to stand there.

    Raises:
        StoreError: Lake or archive cannot be read or written, or others claim them all the time.
    """
    warm = care.table(kind.value)

    def claimed() -> None:
        warm.refresh()
        archive.refresh()
        if not _is_unknown(archive, warm):  # there, no move of this lake can be
            _claim(warm, archive)

    retried(warm, claimed)


def archived_days(care: Care, kind: Kind) -> tuple[dt.date, ...]:
    """Days that the archive holds rows of, ascending; without a move, it is not asked.

    Raises:
        StoreError: Lake or archive cannot be read.
    """
    view = View.pin(care.table(kind.value), lambda: archive_table(care, kind))
    return tuple(sorted({file["partition.day"] for file in view.archived_files()}))
