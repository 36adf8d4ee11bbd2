"""The demo's questions: a REST client and the story -> answers, compared with the facts of the story.

The questions use the public API, as any client does. The facts come from the generator, never from the platform.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from headwater.demo.shop import SLOW_MS, Story
from headwater.demo.stage import account_of
from headwater.rest import Rest

SHOWN = 6
PAGE_ROWS = 5000
CPU_SLACK = 0.02  # the agent does not read the counters of all modes at one instant


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer to one question.

    Attributes:
        question: The question in words.
        request: The request to the service.
        columns, rows: The answer as a table.
        right: True if the answer agrees exactly with the facts.
        truth: The facts in words; shown if the answer is wrong.
        took_ms: Time of all requests, as the client sees it.
    """

    question: str
    request: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    right: bool
    truth: str
    took_ms: float = 0.0


Ask = Callable[[Rest, Story], Reply]


def ask_all(rest: Rest, story: Story) -> list[Reply]:
    return [_timed(ask, rest, story) for ask in QUESTIONS]


def _timed(ask: Ask, rest: Rest, story: Story) -> Reply:
    began = time.perf_counter()
    answer = ask(rest, story)
    took_ms = (time.perf_counter() - began) * 1000
    return Reply(answer.question, answer.request, answer.columns, answer.rows, answer.right, answer.truth, took_ms)


def _window(story: Story) -> dict[str, str]:
    """Time range of the whole story, with a margin for clocks with whole seconds."""
    return {"start": _iso(story.start.timestamp() - 60), "end": _iso(story.start.timestamp() + 3600)}


def _incident(story: Story) -> dict[str, str]:
    first, end = story.incident
    return {"start": first.isoformat(), "end": end.isoformat()}


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _records(rest: Rest, params: dict[str, str]) -> list[dict[str, Any]]:
    pages = rest.pages("/logs/search", params, page_rows=PAGE_ROWS)
    return [record for answer in pages for record in answer["records"]]


def _counts(title: str, found: Counter[str]) -> list[tuple[str, ...]]:
    return [*((name, f"{count:,}") for name, count in found.most_common()), (title, f"{found.total():,}")]


def records_out(rest: Rest, story: Story) -> Reply:
    """Search returns every line once and unchanged."""
    found = _records(rest, _window(story))
    written = Counter((line.service, line.text) for line in story.lines)
    read = Counter((record["service"], record["body"]) for record in found)
    once = len({record["id"] for record in found}) == len(found)
    return Reply(
        "Is every written line there, once and unchanged?",
        "GET /logs/search, every page",
        ("service", ">records"),
        _counts("together", Counter(record["service"] for record in found)),
        read == written and once,
        f"{written.total():,} lines were written: {dict(story.by_service())}",
    )


def errors_in_incident(rest: Rest, story: Story) -> Reply:
    found = Counter(record["service"] for record in _records(rest, {"level": "error", **_incident(story)}))
    true = story.errors_in_incident()
    first, end = story.incident
    return Reply(
        f"Who logged errors during the incident, {first:%H:%M:%S} to {end:%H:%M:%S} UTC?",
        "GET /logs/search?level=error&start=…&end=…",
        ("service", ">errors"),
        _counts("together", found),
        found == true,
        str(dict(true)),
    )


def why(rest: Rest, story: Story) -> Reply:
    found = _records(rest, {"q": 'service:payment AND body:"provider timeout"', **_window(story)})
    true = sum(line.service == "payment" and line.level == "error" for line in story.lines)
    stamps = sorted(record["timestamp"][11:19] for record in found)
    return Reply(
        "When did the payment provider time out, and how often?",
        'GET /logs/search?q=service:payment AND body:"provider timeout"',
        ("first", "last", ">times"),
        [(stamps[0], stamps[-1], f"{len(stamps):,}")] if stamps else [],
        len(found) == true,
        f"{true:,} times",
    )


def what_changed(rest: Rest, story: Story) -> Reply:
    first = story.incident[0]
    window = {"start": _iso(first.timestamp() - 60), "end": first.isoformat()}
    found = rest.get("/events/search", window)["records"]
    told = [(event["name"], event["service"], event["attributes"].get("version")) for event in found]
    true = story.deploy
    return Reply(
        "What changed in the minute before it?",
        "GET /events/search?start=…&end=…",
        ("time", "event", "service", "body"),
        [(event["timestamp"][11:19], event["name"], event["service"], event["body"]) for event in found],
        told == [(true["name"], true["service"], true["attributes"]["version"])],
        true["body"],
    )


def one_trace(rest: Rest, story: Story) -> Reply:
    trace = story.failed_trace()
    found = _records(rest, {"q": f"trace_id:{trace}", "order": "asc", **_window(story)})
    path = [record["service"] for record in found]
    return Reply(
        f"Which way did the failed purchase {trace[:8]}… go?",
        f"GET /logs/search?q=trace_id:{trace[:8]}…&order=asc",
        ("time", "service", "level", "message"),
        [
            (
                record["timestamp"][11:23],
                record["service"],
                record["severity_text"],
                str(record["attributes"].get("message") or record["attributes"].get("msg") or record["body"])[:60],
            )
            for record in found
        ],
        path == story.path_of(trace),
        " → ".join(story.path_of(trace)),
    )


def slowest(rest: Rest, story: Story) -> Reply:
    query = f"service:checkout AND attributes.duration_ms:[{SLOW_MS} TO *]"
    found = _records(rest, {"q": query, **_window(story)})
    durations = sorted((int(record["attributes"]["duration_ms"]) for record in found), reverse=True)
    true = sorted((line.duration_ms for line in story.slow_checkouts()), reverse=True)
    by_duration = sorted(found, key=lambda record: -int(record["attributes"]["duration_ms"]))
    rows = [
        (
            f"{int(record['attributes']['duration_ms']):,}",
            record["timestamp"][11:23],
            str(record["attributes"]["order"]),
        )
        for record in by_duration[:3]
    ]
    return Reply(
        f"Which checkouts took longer than {SLOW_MS / 1000:g} s? ({len(found)}; the slowest three)",
        f"GET /logs/search?q={query}",
        (">ms", "time", "order"),
        rows,
        durations == true,
        f"{len(true)} of them, the slowest {true[:3]} ms",
    )


def failed_requests(rest: Rest, story: Story) -> Reply:
    query = "service:web AND attributes.http.response.status_code:[500 TO 599]"
    found = Counter(
        f"{record['attributes'].get('http.request.method')} {record['attributes'].get('url.path')}"
        for record in _records(rest, {"q": query, **_window(story)})
    )
    return Reply(
        "Which requests failed at the edge, by the access log?",
        f"GET /logs/search?q={query}",
        ("request", ">failed"),
        [(name, f"{count:,}") for name, count in found.most_common(SHOWN)],
        found.total() == story.failed_requests(),
        f"{story.failed_requests():,} requests",
    )


def services(rest: Rest, story: Story) -> Reply:
    answer = rest.get("/services", _window(story))["services"]
    true = {name: (count, story.errors()[name]) for name, count in story.by_service().items()}
    rows = sorted(answer, key=lambda entry: -entry["logs"])
    return Reply(
        "Which services are there, and how are they?",
        "GET /services",
        ("service", "env", ">logs", ">errors", ">error rate"),
        [
            (row["name"], row["env"], f"{row['logs']:,}", f"{row['errors']:,}", f"{row['error_rate']:.1%}")
            for row in rows
        ],
        {row["name"]: (row["logs"], row["errors"]) for row in answer} == true,
        f"(logs, errors) {true}",
    )


def cpu(rest: Rest, _: Story) -> Reply:
    """The generator does not know this answer, but the shares of a CPU's modes must add up to 1."""
    params = {
        "name": "system.cpu.utilization",
        "agg": "avg",
        "step": "5s",
        "group_by": "cpu.mode",
        "q": "NOT _exists_:attributes.cpu.logical_number",  # the whole machine, not single cores
        "start": "now-1m",
        "end": "now",
    }
    modes = {
        one["labels"]["cpu.mode"]: [value for _, value in one["points"]]
        for one in rest.get("/metrics/query", params)["series"]
    }
    means = {mode: sum(values) / len(values) for mode, values in modes.items()}
    together = sum(values[-1] for values in modes.values())
    shown = sorted((mode for mode in means if mode != "idle"), key=lambda mode: -means[mode])[:4]
    bars = "".join("▁▂▃▄▅▆▇█"[min(7, int((1 - value) * 8))] for value in modes.get("idle", []))
    return Reply(
        "How busy was this machine's CPU in the last minute?",
        "GET /metrics/query?name=system.cpu.utilization&agg=avg&step=5s&group_by=cpu.mode",
        ("busy, every 5 s", *(f">{mode}" for mode in shown), ">idle"),
        [(bars, *(f"{means[mode]:.0%}" for mode in (*shown, "idle")))] if bars else [],
        bool(bars) and abs(together - 1) < CPU_SLACK,
        f"shares of all modes add up to 100 %, not {together:.1%}",
    )


def conservation(rest: Rest, story: Story) -> Reply:
    entries = {kind: account_of(rest, kind) for kind in ("logs", "metrics", "events", "dead_letters")}
    logs = entries["logs"]
    columns = ("received", "visible", "duplicates", "dead_lettered", "in_flight", "difference")
    settled = all(entry["difference"] == 0 for entry in entries.values())
    right = settled and logs["visible"] == len(story.lines) and logs["dead_lettered"] == 0
    return Reply(
        "Is every accepted record accounted for?",
        "GET /conservation",
        ("kind", *(f">{column.replace('_', ' ')}" for column in columns)),
        [(kind, *(f"{entry[column]:,}" for column in columns)) for kind, entry in entries.items()],
        right and entries["dead_letters"]["received"] == 0,
        f"{len(story.lines):,} logs visible, no dead letters, no difference",
    )


QUESTIONS: tuple[Ask, ...] = (
    records_out,
    services,
    errors_in_incident,
    why,
    what_changed,
    one_trace,
    slowest,
    failed_requests,
    cpu,
    conservation,
)
