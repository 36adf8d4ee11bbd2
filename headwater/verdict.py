"""What one check of `headwater doctor` found."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.StrEnum):
    """`warn` works and may hurt later; `fail` does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`finding` is what is there, `advice` what to do about it ("" when nothing is)."""

    level: Level
    finding: str
    advice: str = ""


def ok(finding: str) -> Verdict:
    return Verdict(Level.OK, finding)


def warn(finding: str, advice: str) -> Verdict:
    return Verdict(Level.WARN, finding, advice)


def fail(finding: str, advice: str) -> Verdict:
    return Verdict(Level.FAIL, finding, advice)
