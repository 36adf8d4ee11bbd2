"""`headwater search`: a question on the command line -> records over REST, page by page, as lines or JSON."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from contracts.errors import ConfigError, QueryError, StoreError
from contracts.tenants import Role
from headwater.commands.follow import follow as follow_tail
from headwater.console import counted, err, out, severity
from headwater.keyring import key_for
from headwater.options import Order
from headwater.rest import Rest, service_url

if TYPE_CHECKING:
    from contracts.settings import Settings

DEFAULT_SINCE = "15m"
_LOOK = "nothing is lost; see `headwater doctor`, and ask again"


@dataclass(frozen=True, slots=True)
class Filters:
    """What the command line asked for; "" leaves a filter out."""

    query: str = ""
    since: str = ""
    service: str = ""
    env: str = ""
    host: str = ""
    level: str = ""
    tiers: str = ""
    start: str = ""
    end: str = ""

    @property
    def span(self) -> str:
        """The range of time, for messages."""
        if not (self.start or self.end):
            return f"of the last {self.since or DEFAULT_SINCE}"
        begin = f"from {self.start}" if self.start else f"since {self.since or DEFAULT_SINCE} ago"
        return f"{begin} to {self.end or 'now'}"

    def params(self) -> dict[str, str]:
        """The query string of /logs/search.

        Raises:
            ConfigError: `since` is not a span of time, or stands beside `start`.
        """
        if self.since and self.start:
            raise ConfigError("--since and --start both say where the range begins: leave one out")
        since = self.since or DEFAULT_SINCE
        if not re.fullmatch(r"\d{1,6}[smhdw]", since):
            raise ConfigError(f'--since "{since}" is not a span of time: use e.g. 30s, 15m, 2h, 7d')
        given = {
            "end": self.end,
            "q": self.query,
            "service": self.service,
            "env": self.env,
            "host": self.host,
            "level": self.level,
            "tiers": self.tiers,
        }
        return {"start": self.start or f"now-{since}", **{name: value for name, value in given.items() if value}}


def search(
    settings: Settings, filters: Filters, limit: int, follow: bool, as_json: bool, order: Order = Order.DESC
) -> int:
    """Print what is found; 0 also when nothing is.

    Raises:
        ConfigError: The options exclude each other.
        QueryError: The query cannot be read; its message shows the place.
        StoreError: The service is not there, or a tier it needs is not (what was found is printed first).
    """
    params = filters.params()
    if follow and (filters.end or order is not Order.DESC):
        raise ConfigError("--follow prints what arrives, without an end and in its order: leave --end and --order out")
    url = service_url(settings)
    rest = Rest(url, key_for(settings, Role.READ, url))
    try:
        if follow:
            follow_tail(rest, params, lambda records: _show(records, as_json, at_once=True))
        return _once(rest, {**params, "order": order.value}, limit, as_json, filters.span)
    except QueryError as error:
        raise _with_place(error, filters.query) from error
    finally:
        rest.close()


def _once(rest: Rest, params: dict[str, str], limit: int, as_json: bool, span: str) -> int:
    shown, more, partial, older = 0, False, "", ""
    began_s = time.monotonic()
    for answer in rest.pages("/logs/search", params, limit):
        _show(answer["records"], as_json)
        shown += len(answer["records"])
        more = bool(answer["next_cursor"])
        older = older or _skipped(answer["tiers"])
        partial = partial or (_missing(answer["tiers"]) if answer["partial"] else "")
    if not as_json:
        tail = "; there are more: raise --limit, 0 is all" if more else ""
        tail = tail or ("" if shown else "; to look further back: --since 1d")
        found = f"{counted(shown, 'record')} {span}"
        err.print(f"[dim]{found}, in {time.monotonic() - began_s:.2f} s{tail}{older}[/]")
    if partial:
        raise StoreError(f"the answer is not complete, records are missing from it: {partial}", hint=_LOOK)
    return 0


def _skipped(tiers: dict[str, dict[str, Any]]) -> str:
    """What the archive, which was not asked, may have."""
    archive = tiers.get("archive", {})
    if not archive.get("skipped"):
        return ""
    days = archive["days"]
    which = f" ({days[0]} to {days[-1]})" if days else ""
    return f"; {counted(len(days), 'day')} of it may be in the archive{which}: --tiers all asks it too"


def _missing(tiers: dict[str, dict[str, Any]]) -> str:
    """Which tiers did not answer, and why."""
    why = [f"{name}: {tier['error']}" for name, tier in tiers.items() if tier.get("error")]
    return "; ".join(why) or json.dumps(tiers)


def _show(records: Iterable[Mapping[str, Any]], as_json: bool, at_once: bool = False) -> None:
    if as_json:
        for record in records:
            print(json.dumps(record, ensure_ascii=False, separators=(",", ":")), flush=at_once)
        return
    for record in records:
        out.print(_line(record), soft_wrap=True)


def _line(record: Mapping[str, Any]) -> Text:
    when = str(record["timestamp"])[:23].replace("T", " ")
    line = Text(f"{when} ", style="dim")
    level = severity(int(record.get("severity_number") or 0), str(record.get("severity_text") or ""))
    level.pad_right(6 - len(level))
    line.append_text(level)
    line.append(f"{record.get('service') or '-':<12} ", style="cyan")
    line.append(_printable(str(record.get("body", ""))))
    return line


def _printable(text: str) -> str:
    """Control characters made visible: what was logged must not steer the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _with_place(error: QueryError, query: str) -> QueryError:
    if error.position is None or not query:
        return error
    place = f"\n       {_printable(query)}\n       {' ' * error.position}^"
    return QueryError(f"{error}{place}", position=error.position, hint=error.hint)
