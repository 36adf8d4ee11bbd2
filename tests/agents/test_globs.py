"""Globs: patterns as users write them, on a real folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.globs import MOST_ALTERNATIVES, Globs, alternatives


def names(folder: Path, *patterns: str, exclude: tuple[str, ...] = ()) -> list[str]:
    found = Globs([f"{folder}/{pattern}" for pattern in patterns], exclude).paths()
    return [str(Path(path).relative_to(folder)) for path in found]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("app.log", "app1.log", "web.log", "web.txt", "old/app.log", "old/deep/app.log", "private/key.log"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("{app,web}.log", ["app.log", "web.log"]),
        ("{app,w{eb,ob}}.{log,txt}", ["app.log", "web.log", "web.txt"]),
        ("{old,private}/*.log", ["old/app.log", "private/key.log"]),
        ("old/{app,deep/app}.log", ["old/app.log", "old/deep/app.log"]),
        ("app{,1}.log", ["app.log", "app1.log"]),
        ("app{1}.log", []),
        ("old/**/app.log", ["old/app.log", "old/deep/app.log"]),
    ],
)
def test_braces_are_alternatives(folder: Path, pattern: str, found: list[str]) -> None:
    assert names(folder, pattern) == found


def test_braces_without_comma_or_end_are_literal() -> None:
    assert alternatives("a{b}c") == ["a{b}c"]
    assert alternatives("a{b,c") == ["a{b,c"]
    assert alternatives("{a{b,c}") == ["{ab", "{ac"]


def test_braces_that_multiply_are_bounded() -> None:
    assert len(alternatives("{a,b}" * 64)) <= MOST_ALTERNATIVES + 64


def test_brackets_that_name_an_existing_path_are_literal_and_stay_so(folder: Path) -> None:
    literal = folder / "app[1].log"
    globs = Globs([str(literal)])
    assert list(globs.paths()) == [str(folder / "app1.log")]
    literal.touch()
    assert list(globs.paths()) == [str(literal)]
    assert globs.matches(str(literal))
    literal.unlink()
    assert list(globs.paths()) == []


def test_brackets_of_a_folder_are_literal_beside_those_of_a_pattern(folder: Path) -> None:
    (folder / "shop[eu]").mkdir()
    (folder / "shop[eu]" / "app7.log").touch()
    assert names(folder, "shop[eu]/app[0-9].log") == ["shop[eu]/app7.log"]


def test_excluded_names_paths_and_folders_are_left_out(folder: Path) -> None:
    everything = "**/*.{log,txt}"
    assert names(folder, everything, exclude=("app*",)) == ["private/key.log", "web.log", "web.txt"]
    assert "private/key.log" not in names(folder, everything, exclude=(f"{folder}/private",))
    assert names(folder, everything, exclude=(f"{folder}/*.log", "key.log", "*.txt")) == [
        "old/app.log",
        "old/deep/app.log",
    ]
    assert names(folder, everything, exclude=(f"{folder}/{{old,private}}/**", "*.{txt,bak}", "app[0-9].*")) == [
        "app.log",
        "web.log",
    ]


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/a/**/*.log", "/a/x.log", True),
        ("/a/**/*.log", "/a/b/c/x.log", True),
        ("/a/*.log", "/a/b/x.log", False),
        ("/a/x.[!b]", "/a/x.c", True),
        ("/a/x.[!b]", "/a/x.b", False),
        ("/a/x.[]b]", "/a/x.]", True),
        ("/a/**", "/a/b/c", True),
        ("/a/[z-a]", "/a/b", False),
    ],
)
def test_a_path_that_is_gone_is_compared_as_a_file_would_be(pattern: str, path: str, matches: bool) -> None:
    assert Globs([pattern]).matches(path) is matches
