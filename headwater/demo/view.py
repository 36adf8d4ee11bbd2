"""View of the demo: phases, bars and answers -> terminal; without a terminal, plain lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from headwater.console import is_terminal, out, table
from headwater.demo.questions import Reply

PLAIN_EVERY_S = 2.0
NAMES = ("written", "searchable", "in Delta")


class Bars:
    """Numbers of lines that are written, searchable, and in the Delta table."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._total = total
        self._progress = progress
        self._tasks = [progress.add_task(name, total=total) for name in NAMES] if progress else []
        self._told: tuple[int, ...] = ()
        self._told_s = 0.0

    def show(self, *counts: int) -> None:
        """One count per name of `NAMES`."""
        if self._progress:
            for task, count in zip(self._tasks, counts, strict=True):
                self._progress.update(task, completed=min(count, self._total))
        elif counts != self._told and (
            time.monotonic() - self._told_s >= PLAIN_EVERY_S or min(counts) >= self._total > min(self._told, default=0)
        ):
            self._told_s, self._told = time.monotonic(), counts
            said = "   ".join(f"{count:>7,} {name}" for name, count in zip(NAMES, counts, strict=True))
            out.print(f"  {said}   of {self._total:,}")


@contextlib.contextmanager
def bars(total: int) -> Iterator[Bars]:
    if not is_terminal():
        yield Bars(total, None)
        return
    columns = (TextColumn("  {task.description:<11}"), BarColumn(40), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=out) as progress:
        yield Bars(total, progress)


def headline(text: str) -> None:
    out.print(f"\n[bold]{escape(text)}[/]")


def note(text: str) -> None:
    out.print(f"[dim]  {escape(text)}[/]")


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """A spinner in a terminal, else one line."""
    if is_terminal():
        with out.status(f"  {text}"):
            yield
    else:
        out.print(f"  {text}")
        yield


def show_answers(answers: Sequence[Reply]) -> None:
    for number, answer in enumerate(answers, 1):
        mark = ("✓", "bold green") if answer.right else ("✗", "bold red")
        took = (f"  {answer.took_ms:,.0f} ms", "dim")
        out.print(Text.assemble("\n", mark, (f" {number}. {answer.question}", "bold"), took))
        out.print(Text(f"     {answer.request}", style="dim cyan"))
        rows = table(*answer.columns)
        for row in answer.rows:
            rows.add_row(*(escape(cell) for cell in row))
        out.print(Padding(rows, (0, 0, 0, 5), expand=False))
        if not answer.right:
            out.print(Text(f"     wrong; the right answer is: {answer.truth}", style="red"))


def show_verdict(answers: Sequence[Reply], lines: int, total_s: float) -> None:
    wrong = [answer.question for answer in answers if not answer.right]
    took_ms = sum(answer.took_ms for answer in answers)
    if wrong:
        out.print(Text(f"\n{len(wrong)} of {len(answers)} answers are wrong", style="bold red"))
        return
    told = f"all {len(answers)} answers are right: {lines:,} lines in, {lines:,} out"
    out.print(
        Text.assemble("\n", (told, "bold green"), f"; questions took {took_ms:,.0f} ms, all of it {total_s:.0f} s")
    )
