"""The lake's crash test on S3: the writer's process is killed, and its server is the session's."""

from __future__ import annotations

import uuid

import pytest

from scripts.engines.s3 import S3
from tests.lakehouse.lake.test_crash import EVERY, counts, kill_a_blind_one, kill_at_commits_and_between


@pytest.fixture
def url(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new lake; its server and keys are in the standard environment, as no setting of ours names them."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return f"{s3.url}/{uuid.uuid4().hex}"


def test_killed_at_any_commit_each_row_is_there_once(url: str) -> None:
    kill_at_commits_and_between(url)

    assert counts(url) == (EVERY, EVERY, EVERY)


def test_without_the_look_at_what_has_landed_rows_are_doubled(url: str) -> None:
    kill_a_blind_one(url)

    rows, distinct, _ = counts(url)
    assert (rows > EVERY, distinct) == (True, EVERY)
