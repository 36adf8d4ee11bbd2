"""Options that several commands share, and settings that they override."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

if TYPE_CHECKING:
    from contracts.settings import Settings

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Folder of everything. [HEADWATER_DATA_DIR, ./data]")]
Host = Annotated[str | None, typer.Option(help="Address to listen on. [HEADWATER_HOST, 127.0.0.1]")]
Port = Annotated[int | None, typer.Option(min=0, max=65535, help="Port; 0 takes a free one. [HEADWATER_PORT, 8080]")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of a table.")]
ConfigFile = Annotated[
    Path, typer.Option("--config", metavar="FILE", help="Inputs of the agent (TOML); docs/commands.md shows one.")
]
Env = Annotated[str, typer.Option(help="Environment of every record, e.g. prod.")]
Encoding = Annotated[str, typer.Option(help="Encoding of the files, e.g. utf-16, latin-1, gbk, shift_jis.")]
Multiline = Annotated[
    str,
    typer.Option(
        metavar="auto|none|REGEX", help="Join stack traces and the like; REGEX (RE2) matches the start of a record."
    ),
]
Zone = Annotated[str, typer.Option(metavar="ZONE", help="Zone of lines that name none; default is this machine's.")]
AsHost = Annotated[str | None, typer.Option("--host", help="Host name of every record. [this machine's]")]


class Begin(StrEnum):
    """Where an agent starts in files that exist at its first scan."""

    START = "start"
    END = "end"


class Order(StrEnum):
    """Sort order by event time."""

    ASC = "asc"
    DESC = "desc"


class TakesQuery(TyperCommand):
    """A command whose argument is a query, which may begin with a minus: `-level:debug` is not an option."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # click's Context
        options, query = list[str](), list[str]()
        for word, is_query in self._words(args):
            (query if is_query else options).append(word)
        return super().parse_args(ctx, [*options, "--", *query] if query else options)

    def _words(self, args: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Each word, with True for a query. The value of an option is never a query, even if it begins with a minus."""
        flags, valued = {"-h"}, set[str]()
        for parameter in self.params:
            is_flag = getattr(parameter, "is_flag", False)
            (flags if is_flag else valued).update((*parameter.opts, *parameter.secondary_opts))
        words = iter(args)
        for word in words:
            if word == "--":
                yield from ((rest, True) for rest in words)
                return
            yield word, word.startswith("-") and not word.startswith("--") and word not in flags | valued
            if word in valued and (value := next(words, None)) is not None:
                yield value, False


def settings_for(**given: object) -> Settings:
    """Settings from the environment; options of the command line (`given`, None: not given) override them."""
    from contracts.settings import load_settings

    return load_settings(**{name: value for name, value in given.items() if value is not None})
