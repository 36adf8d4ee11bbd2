"""The index of one arrival day, for writing: batches -> blocks, committed together with the checkpoints."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import tantivy
from tantivy import FieldType, Occur, Order, Query

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import Position
from lakehouse.hot.tantivy.block import Blocks
from lakehouse.hot.tantivy.schema import MARK, pack, register_analyzers, schema, unpack

_CHECKPOINT = "checkpoint"
_SMALLEST_HEAP = 15_000_000  # the engine refuses less


def _without(path: Path) -> str:
    """What to do about an index that is of no use."""
    day = path.name[:10]
    return (
        f'stop the flows, delete the folder "{path}" and start them again: that day is then answered by the lake; '
        f"once it is over, `headwater rebuild-hot --days {day}` is enough"
    )


def _day_error(path: Path, error: BaseException) -> StoreError:
    if not path.exists():
        return StoreError(f'hot index "{path.parent.name}/{path.name}" was dropped meanwhile', retry_after_s=1)
    if "No space left" in str(error):
        return StoreError(f'hot index "{path}" cannot be written: {error}', hint="free disk space", retry_after_s=10)
    return StoreError(
        f'hot index "{path.parent.name}/{path.name}" cannot be used: {error}',
        hint=_without(path),
    )


@contextlib.contextmanager
def engine_errors(path: Path) -> Iterator[None]:
    """What the engine raises over the index at `path`, as StoreError.

    On some kinds of damage it panics: an exception beside `Exception` that would end a thread.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, ValueError | OSError) or type(error).__name__ == "PanicException":
            raise _day_error(path, error) from error
        raise


class DayWriter:
    """One writer of one day. `is_dirty`: something was added since the last commit."""

    def __init__(self, path: Path, kind: Kind, day: dt.date, heap_mib: int) -> None:
        self.day = day
        self._blocks = Blocks(kind)
        self.path = path
        self.is_dirty = self.is_broken = False
        with engine_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            if (path / "meta.json").exists():
                check_format(tantivy.Index.open(str(path)), path)
            index = tantivy.Index(schema(), path=str(path))
            register_analyzers(index)
            index.config_reader("manual")
            self._writer = index.writer(max(_SMALLEST_HEAP, heap_mib << 20), 1)
            self._next = read_checkpoints(index)
            self._staged = dict(self._next)

    @property
    def next_offsets(self) -> Mapping[int, int]:
        """By bus partition, what was added included."""
        return dict(self._next)

    def has(self, batch: Batch) -> bool:
        """Whether the batch is stored (or added) already."""
        return batch.offset < self._next.get(batch.partition, 0)

    def add(self, batch: Batch) -> None:
        """Add the rows, or none of them when one cannot be written (`is_broken` tells whether the engine failed).

        Raises:
            StoreError: None of the rows will be committed.
        """
        self._put(self._blocks.add(batch))
        self._next[batch.partition] = batch.next_offset
        self.is_dirty = True

    def _put(self, documents: Sequence[tantivy.Document]) -> None:
        self.is_broken = True
        with engine_errors(self.path):
            for document in documents:
                self._writer.add_document(document)
        self.is_broken = False

    def end_at(self, checkpoints: Mapping[int, int]) -> None:
        """Count everything before `checkpoints` as stored from the next commit on, which will come."""
        self._next, self.is_dirty = dict(checkpoints), True

    def stage_checkpoints(self) -> None:
        """Put the checkpoints that moved into the commit that is about to be made.

        The ones before stay, the largest counts: a segment from which something was deleted costs far more to merge.
        """
        for partition, offset in self._next.items():
            if self._staged.get(partition) == offset:
                continue
            document = tantivy.Document()
            document.add_text(MARK, _CHECKPOINT)
            document.add_unsigned("last_position", pack(Position(partition, offset, 0)))
            self._writer.add_document(document)
            self._staged[partition] = offset

    def commit(self) -> None:
        """Rows and checkpoints become durable and visible in one step.

        Raises:
            StoreError: Nothing of this commit is stored; this object must not be used again.
        """
        self._put(self._blocks.rest())
        with engine_errors(self.path):
            self.stage_checkpoints()
            self._writer.commit()
        self.is_dirty = False

    def close(self) -> None:
        """Let merges finish and let go. What was not committed is gone."""
        with engine_errors(self.path):
            self._writer.wait_merging_threads()

    def abandon(self) -> None:
        """Let go at once, with the engine's lock, whoever still refers to this. What was not committed is gone."""
        vars(self).pop("_writer", None)


def read_checkpoints(index: tantivy.Index) -> dict[int, int]:
    """Next offset by bus partition, as of the last commit."""
    index.reload()
    searcher = index.searcher()
    marks = Query.term_query(schema(), MARK, _CHECKPOINT)
    found: dict[int, int] = {}
    below = 1 << 64
    while below:
        rest = Query.range_query(schema(), "last_position", FieldType.Unsigned, None, below - 1)
        query = Query.boolean_query([(Occur.Must, marks), (Occur.Must, rest)])
        hits = searcher.search(query, limit=1, count=False, order_by_field="last_position", order=Order.Desc).hits
        if not hits:
            break
        place = unpack(int(hits[0][0]))
        found[place.partition] = place.offset
        below = pack(Position(place.partition, 0, 0))
    return found


def stored_checkpoints(path: Path) -> dict[int, int]:
    """`read_checkpoints` of the index at `path`; none when it cannot be read as ours."""
    try:
        with engine_errors(path):
            index = tantivy.Index.open(str(path))
            check_format(index, path)
            return read_checkpoints(index)
    except StoreError:
        return {}


class Formats:
    """Which indexes are written in our format. Thread-safe."""

    def __init__(self) -> None:
        self._ours: set[tuple[Path, int]] = set()

    def is_ours(self, path: Path) -> bool:
        """Also true of a damaged one: who reads it says so."""
        try:
            key = (path, path.stat().st_ino)
            if key in self._ours:
                return True
            with engine_errors(path):
                if tantivy.Index.open(str(path)).schema != schema():
                    return False
        except (OSError, StoreError):
            return True
        self._ours.add(key)
        return True


def check_format(index: tantivy.Index, path: Path) -> None:
    """Raises StoreError when the index was written by a version that wrote records in another way."""
    if index.schema != schema():
        raise StoreError(
            f'hot index "{path.parent.name}/{path.name}" was written in another format',
            hint=_without(path),
        )
