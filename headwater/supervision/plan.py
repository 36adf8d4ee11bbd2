"""The plan of `headwater up`: children of the supervisor -> JSON text, passed through exec to a small process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from headwater.supervision.supervised import Spec


@dataclass(frozen=True, slots=True)
class StartPlan:
    """Children in stop order, and the text to print when all are ready."""

    children: tuple[Spec, ...]
    greeting: str
    colour: bool


def write_plan(plan: StartPlan) -> str:
    return json.dumps(asdict(plan))


def read_plan(text: str) -> StartPlan:
    """The inverse of `write_plan`."""
    raw = json.loads(text)
    children = []
    for entry in raw["children"]:
        probe = entry.pop("probe")
        children.append(Spec(**entry, probe=(probe[0], probe[1]) if probe else None))
    return StartPlan(tuple(children), raw["greeting"], raw["colour"])
