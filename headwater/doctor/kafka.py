"""Check of a Kafka bus: cluster and topics -> a verdict. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from headwater.console import counted
from headwater.doctor.verdict import Verdict, fail, together, warn

if TYPE_CHECKING:
    from bus.kafka.check import Facts
    from contracts.settings import Settings

APPLY = "headwater topics apply"
SHOWN = 5


def kafka(settings: Settings) -> Verdict:
    """Check the bus. Raises ConfigError or BusError with the reason if the cluster cannot be read."""
    from bus.kafka.check import look
    from bus.topics import declared

    facts = look(settings.bus, settings)
    topics = len(declared(settings, facts.brokers)) - len(facts.missing)
    words = f"{counted(facts.brokers, 'broker')}, {counted(topics, 'topic')}"
    words += ", all replicas in sync" if topics else " yet; the first start creates them"
    return together([*_servers(facts), *_topics(facts, settings, topics), *_copies(facts)], words)


def _servers(facts: Facts) -> Iterator[Verdict]:
    for server, reason in facts.unreachable.items():
        yield warn(
            f"{server} of HEADWATER_BUS_URL cannot be reached ({reason}), others can",
            "start that broker, or remove it from HEADWATER_BUS_URL",
        )


def _topics(facts: Facts, settings: Settings, there: int) -> Iterator[Verdict]:
    if facts.missing:
        found = f"missing: {', '.join(facts.missing)}"
        if not settings.bus_topics_apply:
            yield fail(found, f"create them: {APPLY} (a start does not, as HEADWATER_BUS_TOPICS_APPLY=false)")
        elif there:
            yield warn(found, f"create them: {APPLY}; if a topic was deleted, its records are gone: headwater status")
    for change in facts.changes:
        if change.refusal:
            yield warn(f"{change.topic} is not as declared: {change.refusal}", change.hint)
        else:
            yield warn(f"{change.topic} is not as declared: {change.what}", f"see {APPLY} --dry-run, then {APPLY}")


def _copies(facts: Facts) -> Iterator[Verdict]:
    start = "start the brokers that are away: headwater topics show"
    if facts.leaderless:
        yield fail(f"no leader, so reads and appends fail: {_some(facts.leaderless)}", start)
    if facts.refusing:
        yield fail(f"fewer replicas in sync than min.insync.replicas, appends fail: {_some(facts.refusing)}", start)
    if facts.behind:
        yield warn(f"a replica is behind: {_some(facts.behind)}", f"if this lasts, {start}")


def _some(places: Sequence[str]) -> str:
    """Topics, with the numbers of a few partitions."""
    numbers: dict[str, list[str]] = {}
    for place in places:
        topic, _, number = place.rpartition(" ")
        numbers.setdefault(topic, []).append(number)
    return ", ".join(
        f"{topic} ({'partition ' + ' '.join(each) if len(each) <= SHOWN else f'{len(each)} partitions'})"
        for topic, each in numbers.items()
    )
