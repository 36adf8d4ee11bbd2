"""What is known of repeats comes back as of any offset, whatever files are there; a torn file is never believed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import StoreError
from contracts.messages import BatchHeader
from contracts.settings import load_settings
from flows.read import saving_repeats
from flows.read.repeats import HOUR_NS, Learned, Lines, Repeats
from flows.read.repeats_file import Torn, from_bytes, to_bytes
from flows.read.saved_repeats import Name, Recalled, SavedRepeats
from flows.read.saving_repeats import Saving
from lakehouse.delta.blobs import open_blobs
from tests.flows.messages import ARRIVAL_NS, header

LAKE = 7


def empty() -> Repeats:
    return Repeats(stream_h=72, key_h=24, keys=12, streams=5)


def saved(folder: Path, lake: int = LAKE) -> SavedRepeats:
    return SavedRepeats(open_blobs(str(folder), load_settings(_env_file=None), "r/logs/0"), lake, empty)


def learned(count: int = 3) -> Learned:
    repeats = empty()
    for number in range(count):
        repeats.fresh(header(producer=f"key:{number}", stream="", received_ns=ARRIVAL_NS + number * HOUR_NS))
        repeats.fresh(header(stream=f"s{number}", sequence=5 * number, span=2, received_ns=ARRIVAL_NS + number))
    return repeats.learned()


def alike(one: Learned, two: Learned) -> bool:
    return (
        (one.now_ns, one.keys, one.streams) == (two.now_ns, two.keys, two.streams)
        and np.array_equal(one.key_times, two.key_times)
        and np.array_equal(one.stream_values, two.stream_values)
        and np.array_equal(one.holes, two.holes)
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_file_holds_what_was_learned(count: int) -> None:
    found, needs = from_bytes(to_bytes(learned(count), LAKE, ["keys-1-2-3"]), LAKE)

    assert alike(found, learned(count))
    assert needs == ["keys-1-2-3"]


def test_a_file_that_is_torn_or_of_another_lake_is_not_believed() -> None:
    whole = to_bytes(learned(), LAKE, [])
    for size in range(len(whole)):
        with pytest.raises(Torn):
            from_bytes(whole[:size], LAKE)
    for at in range(0, len(whole), 7):
        with pytest.raises(Torn):
            from_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], LAKE)
    with pytest.raises(Torn, match="another lake"):
        from_bytes(whole, LAKE + 1)


class Run:
    """A partition that is read, one message an offset, with saves that end before the next message is read."""

    def __init__(self, folder: Path, heads: list[BatchHeader], known: Recalled | None = None, start: int = 0) -> None:
        self.heads, self.offset, self.landed = heads, start, 0
        known = known or Recalled(empty(), all_there=True)
        self.repeats = known.repeats
        self.saving = Saving(saved(folder), known, start, lambda: self.landed, 0.0)

    def read(self, end: int) -> None:
        for head in self.heads[self.offset : end]:
            self.repeats.fresh(head)
        self.offset = max(self.offset, end)

    def save(self) -> None:
        self.saving.look(self.offset)
        self.saving.wait()


def state(heads: list[BatchHeader], offset: int) -> Repeats:
    repeats = empty()
    for head in heads[:offset]:
        repeats.fresh(head)
    return repeats


def decisions(repeats: Repeats, heads: list[BatchHeader]) -> list[Lines]:
    return [repeats.fresh(head) for head in heads]


def completed(known: Recalled, heads: list[BatchHeader], offset: int) -> Repeats:
    """As a start does it: from the headers of what came after."""
    assert known.offset <= offset
    for head in heads[known.offset : offset]:
        known.repeats.fresh(head)
    return known.repeats


MESSAGES = st.lists(
    st.tuples(st.sampled_from(["s", "t", "u", "v", "w", "x", "k"]), st.integers(0, 30), st.integers(1, 9)),
    min_size=1,
    max_size=60,
)


def headers_of(sent: list[tuple[str, int, int]]) -> list[BatchHeader]:
    return [
        header(
            producer=f"key:{at}" if name == "k" else "agent",
            stream="" if name == "k" else name,
            sequence=0 if name == "k" else at,
            span=span,
            count=span,
            received_ns=ARRIVAL_NS + number * HOUR_NS,
        )
        for number, (name, at, span) in enumerate(sent)
    ]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving_repeats, "FOLD_NEWS", 3)
    monkeypatch.setattr(saving_repeats, "FOLD_SHARE", 1)


@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@given(MESSAGES, st.lists(st.integers(1, 60), max_size=20), st.data())
def test_a_start_at_any_offset_decides_as_the_flow_that_ran(
    sent: list[tuple[str, int, int]], saves: list[int], data: st.DataObject
) -> None:
    """Also after crashes: any file may be missing, any may be torn, and flows begin again in between."""
    heads = headers_of(sent)
    with TemporaryDirectory() as name:
        folder = Path(name)
        run = Run(folder, heads)
        for save in sorted(saves):
            run.read(min(save, len(heads)))
            run.landed = data.draw(st.integers(run.landed, run.offset))
            run.save()
            if data.draw(st.booleans()):  # it dies, and the next one begins where the lake stands
                known = saved(folder).at(run.landed)
                completed(known, heads, run.landed)
                run = Run(folder, heads, known, run.landed)
        files = sorted((folder / "r/logs/0").glob("*"))
        for path in data.draw(st.lists(st.sampled_from(files), max_size=2)) if files else ():
            path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, 50))])

        offset = data.draw(st.integers(0, len(heads)))
        known = saved(folder).at(offset)
        expected = decisions(state(heads, offset), heads[::2] + heads[offset:])
        assert decisions(completed(known, heads, offset), heads[::2] + heads[offset:]) == expected


def test_a_start_reads_only_what_came_after_the_newest_save(tmp_path: Path) -> None:
    heads = headers_of([("k", number, 1) for number in range(40)])
    run = Run(tmp_path, heads)
    for offset in range(2, 41, 2):
        run.read(offset)
        run.landed = offset - 1
        run.save()

    assert [saved(tmp_path).at(offset).offset for offset in (40, 39, 38, 37)] == [40, 38, 38, 36]


def test_of_a_missing_or_torn_file_an_older_state_is_taken_and_of_none_nothing_is_known(tmp_path: Path) -> None:
    run = Run(tmp_path, headers_of([("k", number, 1) for number in range(30)]))
    for offset in range(1, 31):
        run.read(offset)
        run.save()
    folder = tmp_path / "r/logs/0"
    (newest,) = [name for name in saved(tmp_path).names() if name.end == 30]

    (folder / str(newest)).unlink()
    assert saved(tmp_path).at(30).offset == 29
    for path in folder.glob("*"):
        path.write_bytes(b"torn")
    assert saved(tmp_path).at(30).offset == 0
    shutil.rmtree(folder)
    assert (saved(tmp_path).at(30).offset, saved(tmp_path).at(30).all_there) == (0, False)


def test_old_files_go_once_the_lake_has_what_is_newer(tmp_path: Path) -> None:
    run = Run(tmp_path, headers_of([("s" if number % 2 else "k", number // 2, 1) for number in range(200)]))
    for offset in range(1, 201):
        run.read(offset)
        run.save()
    many = len(saved(tmp_path).names())
    run.landed = 200
    for _ in range(8):
        run.heads += headers_of([("s", run.offset, 1)])
        run.read(run.offset + 1)
        run.save()

    names = saved(tmp_path).names()
    assert many > 200
    assert len(names) < 20
    assert sum(name.count for name in names) <= 2 * 12
    assert saved(tmp_path).at(run.offset).offset == run.offset


def test_files_past_the_start_are_of_an_older_life_and_go_before_a_new_one_is_written(tmp_path: Path) -> None:
    heads = headers_of([("k", number, 1) for number in range(10)])
    run = Run(tmp_path, heads)
    for offset in (4, 8):
        run.read(offset)
        run.save()
    other = headers_of([("k", 100 + number, 1) for number in range(10)])  # on another bus, from place 4 on
    known = saved(tmp_path).at(5)
    again = Run(tmp_path, heads[:5] + other, known, 5)
    completed(known, heads, 5)
    again.read(7)
    again.save()

    assert sorted(map(str, saved(tmp_path).names())) == sorted(map(str, [Name("new", 0, 4), Name("new", 4, 7)]))
    assert decisions(saved(tmp_path).at(9).repeats, [heads[6], other[0]]) == [(range(1),), ()]


def test_a_store_that_fails_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path, headers_of([("k", number, 1) for number in range(6)]))
    real, failing = SavedRepeats.write, [True, True]

    def write(self: SavedRepeats, name: Name, what: Learned, needs: tuple[Name, ...] = ()) -> int:
        if failing and failing.pop():
            raise StoreError("away")
        return real(self, name, what, needs)

    monkeypatch.setattr(SavedRepeats, "write", write)
    for offset in (2, 3, 4, 5):
        run.read(offset)
        run.save()
    run.saving.close(5, time.monotonic() + 60)

    assert saved(tmp_path).at(6).offset == 5
    assert decisions(saved(tmp_path).at(6).repeats, run.heads) == [(), (), (), (), (), (range(1),)]
