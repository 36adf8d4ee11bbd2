"""Config: `agent.toml` -> the inputs of one agent, checked before anything is read.

    name = "agent"                # folder and stream of this agent
    env = "prod"                  # env, host, timezone and attributes here hold for every input that gives none

    [[logs]]
    path = ["/var/log/nginx/*.log"]
    exclude = ["/var/log/nginx/debug*"]
    from = "end"                  # start or end
    multiline = "none"            # auto, none, or a regex that matches the first line of a record
    timezone = "Europe/Berlin"
    encoding = "auto"             # auto, or a name such as utf-16, latin-1, gbk
    service = "nginx"
    attributes = { team = "web" }

    [[journald]]
    unit = ["ssh.service"]

    [metrics]
    interval = 10

A file that several `[[logs]]` name belongs to the first of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from agents.encodings import checked
from agents.home import checked_name
from agents.joining import AUTO, joining
from agents.journald import JournalOptions
from agents.lines import Scalar
from agents.tail import FileOptions
from agents.zone import checked_zone
from contracts.errors import ConfigError

_MOST_BYTES = 1 << 20

Attributes = dict[str, Scalar]
Begin = Literal["start", "end"]


class _Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Options of every input. "" is the value at the top of the file; if that is "" too, the agent finds it out."""

    service: str = ""
    env: str = ""
    host: str = ""
    attributes: Attributes = msgspec.field(default_factory=dict)


class LogInput(_Input, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Files to tail."""

    path: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    begin: Begin = msgspec.field(default="start", name="from")
    multiline: str = AUTO
    timezone: str = ""
    encoding: str = AUTO

    def files(self) -> FileOptions:
        return FileOptions(self.exclude, self.begin, self.encoding)


class JournalInput(_Input, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The journal of systemd. `unit`: only these units. `directory`: of journal files; "" is this machine's."""

    unit: tuple[str, ...] = ()
    begin: Begin = msgspec.field(default="start", name="from")
    directory: str = ""

    def options(self) -> JournalOptions:
        return JournalOptions(self.unit, self.begin, self.directory)


class MetricsInput(_Input, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Metrics of this machine, every `interval` seconds."""

    interval: float = 10.0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One agent. `name`: of its folder and stream; the metrics have a stream of their own, `<name>-metrics`."""

    name: str = "agent"
    env: str = ""
    host: str = ""
    timezone: str = ""
    attributes: Attributes = msgspec.field(default_factory=dict)
    logs: tuple[LogInput, ...] = ()
    journald: tuple[JournalInput, ...] = ()
    metrics: MetricsInput | None = None


def load_config(path: Path) -> Config:
    """The config at `path`; values at the top of the file stand in each input that gives none.

    Raises:
        ConfigError: The file cannot be read, or an option is wrong; the message names the file, the line and the key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f'config "{path}" cannot be read: {reason}', hint="pass --config FILE") from error
    return _Reading(path, text).config()


class _Reading:
    """One file, being checked."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text

    def config(self) -> Config:
        try:
            values = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f'config "{self._path}" is no TOML: {error}', hint="see docs/commands.md") from error
        for table in ("logs", "journald"):
            for number, given in enumerate(values[table] if isinstance(values.get(table), list) else ()):
                for key in ("path", "exclude", "unit"):
                    if isinstance(given, dict) and isinstance(given.get(key), str):
                        raise self._wrong(table, number, key, "is a text", f'write a list: {key} = ["{given[key]}"]')
        try:
            config = msgspec.convert(values, Config)
        except msgspec.ValidationError as error:
            raise self._invalid(error) from error
        self._check(config)
        return _inherited(config)

    def _check(self, config: Config) -> None:
        self._try("", 0, "name", lambda: checked_name(config.name))
        self._try("", 0, "timezone", lambda: config.timezone and checked_zone(config.timezone))
        if not (config.logs or config.journald or config.metrics):
            hint = "add [[logs]] with a path, [[journald]] or [metrics]"
            raise ConfigError(f'config "{self._path}" has no input', hint=hint)
        for number, given in enumerate(config.logs):
            self._check_logs(number, given)
        directories = [each.directory for each in config.journald]
        for number, directory in enumerate(directories):
            if directory in directories[:number]:
                raise self._wrong(
                    "journald", number, "directory", "is read by an input above", "name all units in one input"
                )
        if config.metrics and not 0 < config.metrics.interval < float("inf"):
            raise self._wrong("metrics", 0, "interval", "is not a positive number", "give seconds, for example 10")

    def _check_logs(self, number: int, given: LogInput) -> None:
        if not given.path or not all(given.path):
            raise self._wrong("logs", number, "path", "is missing or empty", 'name files: path = ["/var/log/*.log"]')
        for pattern in given.path:
            if pattern in given.exclude:
                raise self._wrong(
                    "logs", number, "exclude", f'holds the path "{pattern}" too', "remove it from one of them"
                )
        self._try("logs", number, "multiline", lambda: joining(given.multiline, 1, 1, 1.0))
        self._try("logs", number, "encoding", lambda: checked(given.encoding))
        self._try("logs", number, "timezone", lambda: given.timezone and checked_zone(given.timezone))

    def _try(self, table: str, number: int, key: str, check: Callable[[], object]) -> None:
        try:
            check()
        except ConfigError as error:
            raise self._wrong(table, number, key, str(error), error.hint) from error

    def _wrong(self, table: str, number: int, key: str, state: str, hint: str) -> ConfigError:
        return ConfigError(
            f'config "{self._path}", line {self._line(table, number, key)}, key "{key}": {state}', hint=hint
        )

    def _invalid(self, error: msgspec.ValidationError) -> ConfigError:
        text = str(error)
        place = re.search(r" - at `\$\.?([a-z]*)(?:\[(\d+)\])?\.?([^`\[]*)", text)
        table, number, key = (place[1], int(place[2] or 0), place[3]) if place else ("", 0, "")
        if place and not place[2] and not place[3] and "unknown field" not in text:
            table, key = "", table
        state = text.partition(" - at ")[0]
        if unknown := re.search(r"unknown field `([^`]*)`", text):
            key, state = unknown[1], "is unknown"
        hint = f"known keys: {', '.join(_keys(table))}"
        return self._wrong(table, number, key or table, f"{state[:1].lower()}{state[1:]}", hint)

    def _line(self, table: str, number: int, key: str) -> int:
        """The line of a key in the numbered table of this name, else that of the table, else 1."""
        at, count, found = "", -1, 1
        for line, text in enumerate(self._text.splitlines(), 1):
            if header := re.match(r"\s*\[+\s*([A-Za-z_]+)", text):
                at = header[1]
                count += at == table
                found = line if at == table and count == number else found
            elif (
                at == table and (not table or count == number) and re.match(rf"\s*\"?{re.escape(key)}\"?\s*[=.]", text)
            ):
                return line
        return found


def _keys(table: str) -> list[str]:
    of = {"logs": LogInput, "journald": JournalInput, "metrics": MetricsInput}.get(table, Config)
    return sorted(of.__struct_encode_fields__)


def _inherited(config: Config) -> Config:
    def filled(given: _Input) -> dict[str, object]:
        return {
            "env": given.env or config.env,
            "host": given.host or config.host,
            "attributes": {**config.attributes, **given.attributes},
        }

    replace = msgspec.structs.replace
    return replace(
        config,
        logs=tuple(replace(each, **filled(each), timezone=each.timezone or config.timezone) for each in config.logs),
        journald=tuple(replace(each, **filled(each)) for each in config.journald),
        metrics=config.metrics and replace(config.metrics, **filled(config.metrics)),
    )
