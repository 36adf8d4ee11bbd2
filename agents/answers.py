"""Answers: an HTTP response to a batch -> the fate of the batch."""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import msgspec

from agents.aside import Verdict

RETRIED = {408, 425, 429}
NOT_THE_DATA = {401, 402, 403, 404, 405, 407, 411, 415, 421, 426, 431, 451}  # the key, URL or a proxy is at fault
MOST_RETRY_AFTER_S = 3600.0
FIRST_PAUSE_S = 0.25


class Fate(enum.Enum):
    TAKEN = "taken"  # acknowledged, except for records with a verdict
    AGAIN = "again"  # send the batch again later
    DENIED = "denied"  # send the batch again slowly; the operator must act
    REFUSED = "refused"  # a record of the batch is at fault


class _Rejected(msgspec.Struct):
    index: int
    code: str = ""
    message: str = ""


class _Answer(msgspec.Struct):
    accepted: int = -1
    rejected: list[_Rejected] = msgspec.field(default_factory=list)
    duplicate: bool = False
    code: str = ""
    title: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a request: `reason` in words, `verdicts` on single records, `retry_after_s` from the service."""

    fate: Fate
    status: int
    code: str = ""
    reason: str = ""
    verdicts: Sequence[Verdict] = ()
    retry_after_s: float | None = None
    duplicate: bool = False


_decode = msgspec.json.Decoder(_Answer).decode


def judge(status: int, body: bytes, retry_after: str | None, count: int) -> Outcome:
    """The outcome of a response to a batch of `count` records."""
    try:
        answer = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        answer = _Answer()
    verdicts = [Verdict(each.index, each.code, each.message) for each in answer.rejected]
    code, reason = answer.code or f"http_{status}", answer.detail or answer.title or f"the service answered {status}"
    if 200 <= status < 300:
        return Outcome(Fate.TAKEN, status, verdicts=verdicts, duplicate=answer.duplicate)
    if status == 400 and {verdict.index for verdict in verdicts} >= set(range(count)):
        return Outcome(Fate.TAKEN, status, code, reason, verdicts)
    if status in RETRIED or status >= 500:
        return Outcome(Fate.AGAIN, status, code, reason, retry_after_s=retry_after_s(retry_after))
    if status in NOT_THE_DATA or status < 400:
        return Outcome(Fate.DENIED, status, code, reason)
    return Outcome(Fate.REFUSED, status, code, reason)


def retry_after_s(text: str | None, now_s: float | None = None) -> float | None:
    """Seconds in a `Retry-After` header (seconds or an HTTP date), limited to 0 to 3600; None if not usable.

    Source: RFC 9110, 10.2.3.
    """
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - (time.time() if now_s is None else now_s)
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MOST_RETRY_AFTER_S) if seconds == seconds else None


def pause_s(attempt: int, most_s: float, asked_s: float | None, rng: random.Random) -> float:
    """Back-off before retry number `attempt` (from 0): doubles from 0.25 s up to `most_s`, less up to half at random.

    If the service asked for a pause (`asked_s`), the back-off is that pause plus up to a tenth at random.
    """
    grown = min(most_s, FIRST_PAUSE_S * 2.0 ** min(attempt, 30)) * rng.uniform(0.5, 1.0)
    if asked_s is None:
        return grown
    return max(asked_s * rng.uniform(1.0, 1.1), 0.01)
