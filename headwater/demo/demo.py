"""`headwater demo`: a seed -> a shop's log files -> the whole platform -> answers, checked against the generator.

The demo runs the real parts: `headwater up` with its children, an agent per service that tails files while they rotate,
an agent that measures this machine, and questions over REST. The demo removes all its files at the end.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import signal
import socket
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

from contracts.errors import StoreError
from contracts.tenants import Role
from headwater.console import command, out
from headwater.demo import view
from headwater.demo.questions import ask_all
from headwater.demo.shop import SERVICES, STORY_S, Story, tell
from headwater.demo.shop_files import ShopFiles
from headwater.demo.stage import Stage, account_of
from headwater.rest import Rest

STEP_S = 0.1
LOOK_S = 0.4
SETTLE_S = 90.0


def demo(*, once: bool, port: int, seconds: float, seed: int) -> int:
    """Play the story and ask the questions; 0 if every answer is right, else 1. Unless `once`, stay until Ctrl-C.

    Raises:
        StoreError: A process ended by itself, or the records did not arrive in time.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="headwater-demo-") as folder, Stage(Path(folder), port) as stage:
        try:
            right = _play(stage, seconds, seed, began_s, batch=not once)
            if not once:
                _stay(stage)
        except KeyboardInterrupt:
            out.print("\nstopping")
            return 130 if once else 0
        view.headline("stopping")
        trouble = stage.stop()
        for each in trouble:
            view.note(each)
    if not trouble:
        view.note("agents, API and flow stopped cleanly; the temporary folder is gone")
    return 0 if right and not trouble else 1


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _play(stage: Stage, seconds: float, seed: int, began_s: float, batch: bool) -> bool:
    story = tell(seed, dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(seconds=STORY_S))
    view.headline("1. Starting the platform")
    with view.waiting("headwater up, on a temporary data folder …"):
        stage.start_up(lambda: None, batch)
    view.note(f"API and flow are ready at {stage.url} after {time.monotonic() - began_s:.1f} s")
    first, end = story.incident
    view.headline(
        f"2. A small shop: {len(SERVICES)} services, {len(story.lines):,} log lines, the last quarter of an hour"
    )
    view.note("JSON (checkout, payment), logfmt (catalog, inventory), access log (web), plain text (mailer);")
    view.note(
        f"files rotate while agents tail them; the payment provider fails from {first:%H:%M:%S} to {end:%H:%M:%S} UTC"
    )
    rest = stage.rest()
    try:
        _tell(stage, story, seconds, rest)
        view.headline("3. Questions over REST, checked against the facts of the generator")
        answers = ask_all(rest, story)
    finally:
        rest.close()
    view.show_answers(answers)
    view.show_verdict(answers, len(story.lines), time.monotonic() - began_s)
    return all(answer.right for answer in answers)


def _tell(stage: Stage, story: Story, seconds: float, rest: Rest) -> None:
    """Write the story in `seconds` of real time, then wait until all lines are stored."""
    files = ShopFiles(stage.folder / "shop")
    with view.waiting(f"starting an agent for each service, and one that measures {socket.gethostname()} …"):
        stage.start_agents({service: files.path(service) for service in SERVICES})
    with contextlib.closing(files), view.bars(len(story.lines)) as bars:
        began_s = time.monotonic()
        look_s, written = began_s, 0
        _send_event(stage, story)
        while written < len(story.lines):
            time.sleep(STEP_S)
            due = min(1.0, (time.monotonic() - began_s) / seconds) * STORY_S
            chunk = _until(story, written, due)
            files.write(story.lines[written : written + chunk])
            written += chunk
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + LOOK_S
                bars.show(written, *_arrived(account_of(rest, "logs")))
                stage.check()
        _settle(stage, rest, len(story.lines), bars)
    view.note(f"written in {time.monotonic() - began_s:.0f} s, files rotated {files.rotations} times")


def _send_event(stage: Stage, story: Story) -> None:
    sender = stage.rest(Role.INGEST)
    sender.send("/events", [story.deploy], "deploy-2.4.1")
    sender.close()


def _until(story: Story, written: int, due_s: float) -> int:
    """Number of unwritten lines up to `due_s`."""
    end = written
    while end < len(story.lines) and (story.lines[end].at_s <= due_s or due_s >= STORY_S):
        end += 1
    return end - written


def _arrived(entry: dict[str, Any]) -> tuple[int, int]:
    """Number of searchable lines (in the hot store), and number of lines in the lake."""
    behind = entry["lag"].get("hot", {}).get("records", 0)
    return entry["received"] - behind, entry["visible"]


def settled(entry: dict[str, Any], total: int) -> bool:
    """True if both stores have all lines; on a busy machine either store may be the later one."""
    return min(_arrived(entry)) >= total and entry["in_flight"] == 0


def _settle(stage: Stage, rest: Rest, total: int, bars: view.Bars) -> None:
    deadline = time.monotonic() + SETTLE_S
    while time.monotonic() < deadline:
        entry = account_of(rest, "logs")
        bars.show(total, *_arrived(entry))
        if settled(entry, total):
            return
        stage.check()
        time.sleep(LOOK_S)
    raise StoreError(
        f"only {min(_arrived(entry)):,} of {total:,} lines arrived within {SETTLE_S:.0f} s", hint=stage.log("up")
    )


def _stay(stage: Stage) -> None:
    data, us = stage.settings.data, command()
    out.print(f"""
The platform stays up until Ctrl-C. Ask more questions from another terminal:

  {us} search 'level:error AND service:payment' --since 1h --data-dir {data}
  {us} search --follow --data-dir {data}
  {us} status --data-dir {data}
  API page: {stage.url}/docs     keys: {data}/keys/default.env
  compaction, checks, tiers, retention: {stage.batch_url} (Dagster's UI)
""")
    while True:
        time.sleep(1)
        stage.check()
