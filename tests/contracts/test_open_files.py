"""The limit of open files: as high as the system lets this process go."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from contracts.open_files import allow_many_files


@pytest.fixture
def hard() -> Iterator[int]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_raised_as_far_as_it_goes_and_a_second_call_changes_nothing(hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

    raised = allow_many_files()

    assert raised > 256
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (raised, hard)
    assert allow_many_files() == raised


def test_where_it_cannot_be_raised_the_old_limit_is_told(monkeypatch: pytest.MonkeyPatch, hard: int) -> None:
    def refused(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    monkeypatch.setattr(resource, "setrlimit", refused)
    assert allow_many_files() == 256
    monkeypatch.undo()
