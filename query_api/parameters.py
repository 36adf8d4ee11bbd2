"""Query parameters that several routes take, with what the API page says of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import Query

from contracts.query import DEFAULT_TIERS, Tier
from web.problems import Problem

DEFAULT_TIERS_TEXT = ",".join(tier for tier in Tier if tier in DEFAULT_TIERS)

_TIME = (
    "RFC 3339 (a date alone is its midnight, UTC), epoch number (s, ms, us or ns by its size), or now, now-15m, now-1d "
    "(units ms s m h d w)"
)

Text = Annotated[
    str,
    Query(
        description='Lucene: words, "phrases", field:value, field:(a OR b), ranges [a TO b] and {a TO b}, > >= < <=, '
        "AND OR NOT && || ! + -, wildcards * and ?, _exists_:field. A blank between clauses means AND, and AND binds "
        "tighter than OR. Words search body; level:>=warn works by severity; an unknown name is an attribute."
    ),
]
Start = Annotated[str | None, Query(description=f"Earliest event time, inclusive: {_TIME}.")]
End = Annotated[str | None, Query(description=f"Latest event time, exclusive: {_TIME}.")]
Service = Annotated[list[str], Query(description="Whole service name; repeat for alternatives.")]
Env = Annotated[list[str], Query(description="Whole environment name; repeat for alternatives.")]
Host = Annotated[list[str], Query(description="Whole host name; repeat for alternatives.")]
Name = Annotated[list[str], Query(description="Whole event name; repeat for alternatives.")]
Level = Annotated[
    list[str],
    Query(description="trace, debug, info, warn, error, fatal or 0-24, alone or after > >= < <=; repeat for more."),
]
Tiers = Annotated[
    str,
    Query(description="Where to look: hot, lake, archive (old days, slower), by commas, or all."),
]
Limit = Annotated[int, Query(ge=1, description="Records of a page; at most HEADWATER_QUERY_ROWS.")]
PageCursor = Annotated[str, Query(description="next_cursor of the page before; all other parameters unchanged.")]


class Order(StrEnum):
    """Of event time; records of the same time keep one order too."""

    ASC = "asc"
    DESC = "desc"


PageOrder = Annotated[Order, Query(description="Newest first (desc) or oldest first (asc).")]


def tiers_of(text: str) -> frozenset[Tier]:
    """The tiers that `text` names; blank is hot and lake.

    Raises:
        Problem: 400 "bad_tiers".
    """
    names = [name.strip().lower() for name in text.split(",") if name.strip()]
    if "all" in names:
        names += list(Tier)
    unknown = [name for name in names if name not in (*Tier, "all")]
    if unknown:
        tell = f'"{unknown[0][:40]}" is not a tier: use {", ".join(Tier)} or all, several by commas'
        raise Problem(400, "bad_tiers", tell, parameter="tiers")
    return frozenset(Tier(name) for name in names if name != "all") or DEFAULT_TIERS
