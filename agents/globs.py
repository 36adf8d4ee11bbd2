"""Globs: patterns of files -> the paths that match now, without those that are excluded.

A pattern knows `*`, `?`, `[ab]`, `**` (folders at any depth) and `{a,b}` (alternatives, which may be nested). Brackets
that name an existing path are literal: `/var/log/app[1].log` is that file if it exists, and then not `app1.log`.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path

MOST_ALTERNATIVES = 1000  # of one pattern: `{a,b}` nested and repeated grows without end


class Globs:
    """The paths of `patterns` that no pattern of `exclude` matches. Relative patterns begin at the working directory.

    An excluded pattern without "/" is compared with the name of a file, another one with its whole path and with each
    folder above it.
    """

    def __init__(self, patterns: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self.patterns = [_absolute(pattern) for pattern in patterns]
        self._alternatives = {pattern: alternatives(pattern) for pattern in self.patterns}
        self._literal: set[str] = (
            set()
        )  # beginnings of patterns whose brackets were once a path: rotation may remove it
        self._excluded_names = _either([text for text in exclude if "/" not in text])
        self._excluded_paths = _either([_absolute(text) for text in exclude if "/" in text], folders=True)

    def paths(self) -> dict[str, set[str]]:
        """Paths that exist and match, in order, with the patterns that match them."""
        found: dict[str, set[str]] = {}
        for pattern, several in self._alternatives.items():
            for alternative in several:
                for path in glob.glob(self._quoted(alternative), recursive=True):  # noqa: PTH207 - absolute patterns
                    if path in found:
                        found[path].add(pattern)
                    else:
                        found[path] = {pattern}
        if self._excluded_names or self._excluded_paths:
            found = {path: patterns for path, patterns in found.items() if not self.excludes(path)}
        return dict(sorted(found.items()))

    def excludes(self, path: str) -> bool:
        name = path.rpartition("/")[2]
        return bool(
            (self._excluded_names and self._excluded_names.fullmatch(name))
            or (self._excluded_paths and self._excluded_paths.fullmatch(path))
        )

    def matches(self, path: str) -> bool:
        """True if `path`, which need not exist, matches a pattern and is not excluded."""
        several = [self._quoted(text) for texts in self._alternatives.values() for text in texts]
        return any(re.fullmatch(_regex(text), path, re.DOTALL) for text in several) and not self.excludes(path)

    def _quoted(self, pattern: str) -> str:
        """The pattern with brackets quoted in each step of the path that exists with these brackets."""
        if "[" not in pattern:
            return pattern
        begin = ""
        for step in pattern.split("/")[1:]:
            literal = f"{begin}/{step.replace('[', '[[]')}"
            begin = literal if "[" in step and self._exists(literal) else f"{begin}/{step}"
        return begin

    def _exists(self, pattern: str) -> bool:
        if pattern not in self._literal and glob.glob(pattern, recursive=True):  # noqa: PTH207 - absolute patterns
            self._literal.add(pattern)
        return pattern in self._literal


def alternatives(pattern: str) -> list[str]:
    """The patterns without `{a,b}` that `pattern` stands for; braces without a comma or a partner are literal."""
    done: list[str] = []
    todo = [pattern]
    while todo:
        text = todo.pop()
        split = _first_braces(text)
        if split is None or len(done) + len(todo) >= MOST_ALTERNATIVES:
            done.append(text)
            continue
        before, choices, after = split
        todo += [before + choice + after for choice in reversed(choices)]
    return list(dict.fromkeys(done))


def _first_braces(text: str) -> tuple[str, list[str], str] | None:
    """(before, choices, after) of the first braces with a comma; None if `text` has none."""
    for begin in (place for place, letter in enumerate(text) if letter == "{"):
        depth, cuts = 0, [begin]
        for place in range(begin, len(text)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if text[place] == "," and depth == 1:
                cuts.append(place)
            if depth == 0:
                break
        if depth == 0 and len(cuts) > 1:
            ends = [*cuts[1:], place]
            return text[:begin], [text[a + 1 : b] for a, b in zip(cuts, ends, strict=True)], text[place + 1 :]
    return None


def _absolute(pattern: str) -> str:
    return str(Path(pattern).expanduser().absolute())


def _either(patterns: list[str], folders: bool = False) -> re.Pattern[str] | None:
    several = [_regex(text) for pattern in patterns for text in alternatives(pattern)]
    return re.compile(f"(?:{'|'.join(several)}){'(?:/.*)?' if folders else ''}", re.DOTALL) if several else None


def _regex(pattern: str) -> str:
    """A regular expression of one glob: `*` and `?` stay within a folder, `**` does not."""
    parts = re.split(r"(/\*\*(?=/|\Z)|\*+|\?|\[!?\]?[^]]*\])", pattern)
    return "".join(_piece(part) if number % 2 else re.escape(part) for number, part in enumerate(parts))


def _piece(part: str) -> str:
    if part == "/**":
        return r"(?:/.*)?"
    if part[0] in "*?":
        return "[^/]*" if part[0] == "*" else "[^/]"
    inner = part[1:-1].replace("\\", r"\\")
    inner = f"^{inner[1:]}" if inner[0] == "!" else inner.replace("^", r"\^") if inner[0] == "^" else inner
    try:
        return re.compile(f"[{inner.replace('[', chr(92) + '[')}]").pattern
    except re.error:  # such as [z-a]
        return re.escape(part)
