"""Policy file: `retention.toml` -> `Policy`, or an error that names file, line and reason.

Unknown keys are refused: with a misspelt age, records could be kept or deleted for years unnoticed.
`docs/tiers.md` describes the format.
"""

from __future__ import annotations

import bisect
import difflib
import re
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.messages import Kind
from contracts.settings import Settings
from contracts.tenants import tenant_named
from lakehouse.upkeep.policy.policy import END_OF_LEVELS, GIB, LEVELS, Policy, Rule, conflicts

NAME = "retention.toml"
MAX_DAYS = 36_500
MAX_GIB = 1 << 24
MAX_BYTES = 256 << 10
DEEPEST = 4  # levels of keys with a known line; the policy has three
MOST_SHOWN = 60  # characters of a refused value in the message

_DAYS = ("hot_days", "rebuilt_days", "archive_after_days", "keep_days")
_SIZES = {"hot_max_gib": "hot_max_bytes", "lake_max_gib": "lake_max_bytes", "archive_max_gib": "archive_max_bytes"}
_RULE = ("kind", "tenant", "service", "below", "at_least", "keep_days")
_HINT = "see docs/tiers.md, on retention"

# TOML tokens that may contain a newline or a bracket. A triple-quoted string may end with two more quotes.
_TOKEN = re.compile(
    r"""\"{3}(?:\\.|[^\\])*?\"{3}\"{0,2}|'{3}.*?'{3}'{0,2}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}\n]""",
    re.DOTALL,
)

KeyPath = tuple[str | int, ...]


def load_policy(settings: Settings) -> Policy:
    """The policy in `HEADWATER_RETENTION_FILE`, else in <data>/retention.toml if that exists, else the default policy.

    Raises:
        ConfigError: The file cannot be read, or holds no valid policy.
    """
    named = settings.retention_file
    path = Path(named).expanduser() if named else settings.data / NAME
    if not named and not path.exists():
        return Policy()
    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ConfigError(f'retention policy "{path}" is larger than {MAX_BYTES} bytes', hint=_HINT)
        return parse_policy(data.decode(), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "correct HEADWATER_RETENTION_FILE, or the file"
        raise ConfigError(f'retention policy "{path}" cannot be read: {reason}', hint=hint) from error


def parse_policy(text: str, source: str = NAME) -> Policy:
    """The policy that `text` holds.

    Raises:
        ConfigError: The policy is not valid; the message begins with "`source`:line:".
    """
    try:
        found = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number that is too long is no TOMLDecodeError
        raise ConfigError(f"{source}:{_line_told(error, text)}: {_reason(error)}", hint=_HINT) from error
    return _Reading(text, source).policy(found)


def _line_told(error: Exception, text: str) -> int:
    if told := re.search(r"\(at line (\d+),", str(error)):
        return int(told.group(1))
    lines = text.rstrip("\n").split("\n")

    def fails(count: int) -> bool:
        try:
            tomllib.loads("\n".join(lines[:count]))
        except (ValueError, RecursionError) as found:
            return type(found) is type(error)
        return False

    if isinstance(error, tomllib.TOMLDecodeError):
        return len(lines)  # at the end of the document
    return bisect.bisect_left(range(1, len(lines)), True, key=fails) + 1


def _reason(error: Exception) -> str:
    reason = re.sub(r" \(at .*\)$|; use sys\..*$", "", str(error)) or type(error).__name__
    return reason[0].lower() + reason[1:]


class _Reading:
    """Checks one file; knows the line of each key."""

    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._lines = lines_of(text)

    def policy(self, found: Mapping[str, Any]) -> Policy:
        self._known(found, ("defaults", "rule"), ())
        defaults = found.get("defaults", {})
        if not isinstance(defaults, dict):
            raise self._refusal(("defaults",), "defaults must be a table: begin it with [defaults]")
        self._known(defaults, (*_DAYS, *_SIZES), ("defaults",))
        values: dict[str, Any] = {name: self._days(defaults, name, ("defaults",)) for name in _DAYS if name in defaults}
        for name, field in _SIZES.items():
            if name in defaults:
                values[field] = self._size(defaults[name], ("defaults", name))
        return Policy(**values, rules=self._rules(found.get("rule", [])), source=self._source)

    def _rules(self, found: Any) -> tuple[Rule, ...]:
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise self._refusal(("rule",), "rule must be a list of tables: begin each with [[rule]]")
        rules = tuple(self._rule(each, ("rule", index)) for index, each in enumerate(found))
        for first, second in conflicts(rules):
            raise ConfigError(
                f"{self._source}:{second.line}: this rule ({second.words()}: {second.keep_days} days) and the one of"
                f" line {first.line} ({first.words()}: {first.keep_days} days) may match the same record, and neither"
                " is more specific in everything",
                hint="narrow one rule until it lies within the other one or no record matches both; " + _HINT,
            )
        return rules

    def _rule(self, found: Mapping[str, Any], key_path: KeyPath) -> Rule:
        self._known(found, _RULE, key_path)
        if "keep_days" not in found:
            raise self._refusal(key_path, "a rule needs keep_days: days, or 0 for ever")
        if len(found) == 1:
            raise self._refusal(key_path, "a rule without conditions is a default: use keep_days of [defaults]")
        services = self._texts(found, "service", key_path)
        severities = self._severities(found, key_path)
        kinds = self._kinds(found, key_path)
        for name, given, able in (
            ("service", services, frozenset(Kind) - {Kind.DEAD_LETTERS}),
            ("a severity", severities, frozenset({Kind.LOGS})),
        ):
            if given is not None and "kind" in found and not kinds <= able:
                told = ", ".join(sorted(kinds - able))
                raise self._refusal((*key_path, "kind"), f"{told} cannot be selected by {name}: they have none")
            kinds = kinds & able if given is not None else kinds
        return Rule(
            keep_days=self._days(found, "keep_days", key_path),
            kinds=kinds,
            tenants=self._texts(found, "tenant", key_path, tenant_named),
            services=services,
            severities=severities,
            line=self._line(key_path),
        )

    def _kinds(self, found: Mapping[str, Any], key_path: KeyPath) -> frozenset[Kind]:
        texts = self._texts(found, "kind", key_path)
        for text in sorted(texts or ()):
            if text not in tuple(Kind):
                raise self._refusal((*key_path, "kind"), f'no kind is named "{text}"{_meant(text, list(Kind))}')
        return frozenset(map(Kind, texts)) if texts is not None else frozenset(Kind)

    def _texts(
        self, found: Mapping[str, Any], name: str, key_path: KeyPath, check: Callable[[str], object] = str
    ) -> frozenset[str] | None:
        if name not in found:
            return None
        given = found[name] if isinstance(found[name], list) else [found[name]]
        if not given or not all(isinstance(each, str) for each in given):
            raise self._refusal((*key_path, name), f"{name} must be a text, or a list of texts with at least one")
        try:
            for each in given:
                check(each)
        except ConfigError as error:
            raise self._refusal((*key_path, name), str(error)) from error
        return frozenset(given)

    def _severities(self, found: Mapping[str, Any], key_path: KeyPath) -> range | None:
        for name in {"below", "at_least"} & found.keys():
            if not isinstance(found[name], str) or found[name] not in LEVELS:
                given = found[name] if isinstance(found[name], str) else _shown(found[name])
                meant = _meant(given, list(LEVELS))
                raise self._refusal((*key_path, name), f"{name} must be one of {', '.join(LEVELS)}{meant}")
        if not {"below", "at_least"} & found.keys():
            return None
        low, high = LEVELS[found.get("at_least", "trace")], LEVELS.get(found.get("below", ""), END_OF_LEVELS)
        if low >= high:
            raise self._refusal(
                (*key_path, "below"), "no severity is selected: nothing is below trace or between these"
            )
        return range(low, high)

    def _days(self, found: Mapping[str, Any], name: str, key_path: KeyPath) -> int:
        value = found[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_DAYS:
            raise self._refusal(
                (*key_path, name), f"{name} must be a whole number of days from 0 to {MAX_DAYS}, not {_shown(value)}"
            )
        return value

    def _size(self, value: Any, key_path: KeyPath) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_GIB:
            raise self._refusal(
                key_path, f"{key_path[-1]} must be a number of GiB from 0 to {MAX_GIB}, not {_shown(value)}"
            )
        return int(value * GIB)

    def _known(self, found: Mapping[str, Any], names: Sequence[str], key_path: KeyPath) -> None:
        for name in found:
            if name not in names:
                raise self._refusal((*key_path, name), f'unknown key "{name}"{_meant(name, names)}')

    def _refusal(self, key_path: KeyPath, reason: str) -> ConfigError:
        return ConfigError(f"{self._source}:{self._line(key_path)}: {reason}", hint=_HINT)

    def _line(self, key_path: KeyPath) -> int:
        """Line of `key_path`; keys of an inline table have the line where the table begins."""
        while key_path and key_path not in self._lines:
            key_path = key_path[:-1]
        return self._lines.get(key_path, 1)


def _shown(value: Any) -> str:
    try:
        text = f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    except ValueError:  # Python refuses to print an integer with thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def _meant(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1)
    return f': did you mean "{near[0]}"?' if near else f": known are {', '.join(known)}"


def lines_of(text: str) -> dict[KeyPath, int]:
    """Line by key path, of valid TOML: ("defaults", "hot_days"), ("rule", 0), ("rule", 0, "kind").

    Time and memory grow with the length of `text`: each statement is parsed once.
    """
    found: dict[KeyPath, int] = {}
    header: KeyPath = ()
    counts: dict[KeyPath, int] = {}
    for first, lines in _statements(text.replace("\r\n", "\n")):
        if not lines.strip() or lines.lstrip().startswith("#"):
            continue
        statement = tomllib.loads(lines)
        if lines.lstrip().startswith("["):
            header = _header(statement, counts)
            found.setdefault(header, first)
        else:
            for key_path in _key_paths(statement):
                found.setdefault((*header, *key_path), first)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """First line number and text of each statement. A newline outside of brackets ends a statement."""
    depth, number, first, start = 0, 1, 1, 0
    for token in _TOKEN.finditer(text):
        sign = token.group()
        number += sign.count("\n")
        depth += (sign in ("[", "{")) - (sign in ("]", "}"))
        if sign == "\n" and not depth:
            yield first, text[start : token.start()]
            first, start = number, token.end()
    yield first, text[start:]


def _header(statement: Mapping[str, Any], counts: dict[KeyPath, int]) -> KeyPath:
    key_path: KeyPath = ()
    value: Any = statement
    while value and len(key_path) < DEEPEST:
        if isinstance(value, list):
            key_path, value = (*key_path, counts.setdefault(key_path, 0)), value[0]
            counts[key_path[:-1]] += 1
        else:
            name = next(iter(value))
            key_path, value = (*key_path, name), value[name]
    return key_path


def _key_paths(statement: Mapping[str, Any], deepest: int = DEEPEST) -> Sequence[KeyPath]:
    """Every key on the way to the values of one statement, `deepest` levels down."""
    found: list[KeyPath] = []
    for name, value in statement.items():
        found.append((name,))
        if isinstance(value, dict) and deepest > 1:
            found += [(name, *key_path) for key_path in _key_paths(value, deepest - 1)]
    return found
