"""`headwater retention`: the policy and what the tiers hold -> what would go now and when next, or gone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from headwater.console import counted, out, size, table
from headwater.presence import is_missing
from lakehouse.upkeep.policy.file import load_policy

if TYPE_CHECKING:
    from contracts.settings import Settings
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.retention.apply import Done, Plan, Step

NOTHING = "nothing stored yet: without a lake and a bus no day is known to be closed"
_WORDS = {
    "drop": "leave the hot store",
    "delete": "deleted",
    "rebuild": "rebuilt in the hot store",
    "move": "moved to the archive",
}


def plan(settings: Settings, as_json: bool) -> int:
    """Changes nothing. Always 0.

    Raises:
        ConfigError: The policy is refused.
        BusError, StoreError: A tier, or the bus, cannot be read.
    """
    with _planned(settings) as (_, found):
        facts = told(settings, found)
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
    else:
        _show(facts, found)
    return 0


def apply(settings: Settings) -> int:
    """Plan, and do it now; beside running services too. Always 0.

    Raises:
        ConfigError: The policy is refused; nothing was done.
        BusError, StoreError: What was told is done; the same command goes on with the rest.
    """
    from lakehouse.upkeep.retention.apply import apply as take

    with _planned(settings) as (care, found):
        if care is None or found is None:
            out.print(NOTHING)
            return 0
        applied = take(care, found, _say)
    for note in found.notes:
        out.print(f"[yellow]{escape(note)}[/]")
    out.print(f"[green]{counted(len(applied.done), 'step')} done[/]" if applied.done else "[green]nothing is due[/]")
    if applied.skipped:
        out.print(f"[yellow]{counted(len(applied.skipped), 'step')} left out: the clock has jumped back[/]")
    return 0


@contextlib.contextmanager
def _planned(settings: Settings) -> Iterator[tuple[Care | None, Plan | None]]:
    """Nothing is opened, and nothing made, where there is nothing yet."""
    policy = load_policy(settings)
    if is_missing(settings.lake) or is_missing(settings.bus, "sqlite://"):
        yield None, None
        return
    from bus import open_bus
    from lakehouse.upkeep.care import Care
    from lakehouse.upkeep.retention.apply import plan as find
    from orchestration.due.closing import closed_kinds

    looking = settings.model_copy(update={"bus_topics_apply": False})
    with contextlib.closing(open_bus(settings.bus, looking)) as queue, contextlib.closing(Care(settings)) as care:
        yield care, find(care, policy, closed_kinds(care, queue))


def told(settings: Settings, found: Plan | None) -> dict[str, Any]:
    """A plan as plain values."""
    policy = load_policy(settings)
    facts: dict[str, Any] = {"policy": policy.source or "built in", "steps": [], "notes": [], "next_day": None}
    if found is None:
        return facts
    steps = [{name: value for name, value in asdict(step).items() if name != "moves"} for step in found.steps]
    return facts | {"today": found.today, "steps": steps, "notes": list(found.notes), "next_day": found.next_day}


def _show(facts: dict[str, Any], found: Plan | None) -> None:
    out.print(f"policy: {escape(facts['policy'])}")
    if found is None:
        out.print(NOTHING)
        return
    rows = table("what", "tier", "kind", ">days", "from", "through", ">rows", ">size", "why")
    for steps in _grouped(found.steps):
        first = steps[0]
        days = sorted(step.day for step in steps)
        total, taken = sum(step.rows for step in steps), sum(step.bytes for step in steps)
        counts = (f"{len(days):,}", f"{days[0]}", f"{days[-1]}", f"{total:,}", size(taken))
        rows.add_row(_words(first), first.tier, first.kind, *counts, escape(first.why))
    out.print(rows if found.steps else "[green]nothing is due[/]")
    for note in found.notes:
        out.print(f"[yellow]{escape(note)}[/]")
    out.print(f"next: {found.next_day or 'never'}" + (" (UTC)" if found.next_day else ""))
    if found.steps:
        out.print("nothing was changed; to do it now: headwater retention apply")


def _grouped(steps: Sequence[Step]) -> Sequence[Sequence[Step]]:
    """Steps that differ in the day alone."""
    groups: dict[tuple[str, ...], list[Step]] = {}
    for step in steps:
        groups.setdefault((step.action, step.tier, step.kind, step.where, step.why), []).append(step)
    return list(groups.values())


def _words(step: Step) -> str:
    return "deleted in part" if step.where else _WORDS[step.action]


def _say(done: Done) -> None:
    step = done.step
    out.print(
        f"{_words(step)}: {step.kind} of {step.day} in {step.tier}, {counted(done.rows, 'row')},"
        f" {done.took_s:.1f} s ({escape(step.why)})"
    )
