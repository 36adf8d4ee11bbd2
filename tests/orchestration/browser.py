"""A real Chromium for the tests, headless; found on this machine, never downloaded here."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
    "--no-first-run",
]
SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
PATIENCE_MS = 60_000


def chromium() -> str:
    """Its path; skips the test, with what to do, where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on this machine: make browser")
    return found


@contextlib.contextmanager
def page(origin: str) -> Iterator[tuple[Page, set[str]]]:
    """A page, and what it asks of other origins than `origin`."""
    path, foreign = chromium(), set[str]()
    own = (origin, origin.replace("http", "ws", 1), "data:", "blob:")
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        tab = browser.new_page(viewport={"width": 1600, "height": 1000})
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("request", lambda request: None if request.url.startswith(own) else foreign.add(request.url))
        try:
            yield tab, foreign
        finally:
            browser.close()


def shoot(tab: Page, name: str) -> Path:
    SHOTS.mkdir(parents=True, exist_ok=True)
    path = SHOTS / f"{name}.png"
    tab.screenshot(path=path)
    return path
