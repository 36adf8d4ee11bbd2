"""Verdict: the result of one check of `headwater doctor`."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass


class Level(enum.StrEnum):
    """`warn`: works, but may fail later; `fail`: does not work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`finding`: the state; `advice`: the remedy, "" if none is needed."""

    level: Level
    finding: str
    advice: str = ""


def ok(finding: str) -> Verdict:
    return Verdict(Level.OK, finding)


def warn(finding: str, advice: str) -> Verdict:
    return Verdict(Level.WARN, finding, advice)


def fail(finding: str, advice: str) -> Verdict:
    return Verdict(Level.FAIL, finding, advice)


def together(verdicts: Sequence[Verdict], otherwise: str) -> Verdict:
    """Combine verdicts: the worst level, with all bad findings, the worst first; ok(`otherwise`) if all are ok."""
    bad = [each for level in (Level.FAIL, Level.WARN) for each in verdicts if each.level is level]
    if not bad:
        return ok(otherwise)
    advice = dict.fromkeys(each.advice for each in bad if each.advice)
    return Verdict(bad[0].level, "; ".join(each.finding for each in bad), "; ".join(advice))
