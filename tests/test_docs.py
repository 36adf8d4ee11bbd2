"""The docs name every setting, route and command of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from contracts.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]


def text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_in_the_table_with_its_default(name: str) -> None:
    row = re.search(rf"^\| `HEADWATER_{name.upper()}` \| (.*?) \|", text("settings.md"), re.MULTILINE)
    assert row, f"HEADWATER_{name.upper()} is missing in docs/settings.md"
    assert row.group(1) == default_text(name), f"HEADWATER_{name.upper()} has another default in docs/settings.md"


def test_every_row_of_the_settings_is_one_and_says_what_it_means() -> None:
    rows = re.findall(r"^\| `HEADWATER_(\w+)` \| [^|]+ \| ([^|]+) \|$", text("settings.md"), re.MULTILINE)
    assert sorted(name.lower() for name, _ in rows) == sorted(Settings.model_fields)
    assert text("settings.md").count("| `HEADWATER_") == len(rows)


def default_text(name: str) -> str:
    """How docs/settings.md writes a default."""
    default = Settings.model_fields[name].default
    shown = "" if default is None else getattr(default, "get_secret_value", lambda: str(default))()
    return f"`{shown}`" if shown else "empty"


def routes(folder: Path) -> list[tuple[str, str]]:
    from ingestion_api.app import create_app as create_ingestion
    from query_api.app import create_app as create_query

    settings = load_settings(data_dir=folder)
    found: list[tuple[str, str]] = []
    for create in (create_ingestion, create_query):
        for path, operations in create(settings).openapi()["paths"].items():
            found += [(method.upper(), path) for method in operations]
    return found


def test_every_route_is_described(tmp_path: Path) -> None:
    for method, path in routes(tmp_path):
        assert f"{method} {path}" in text("api.md"), f"{method} {path} is missing in docs/api.md"


CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+\Z")
# Codes of a `QueryError` in `q` get a prefix; these belong to other parameters, or to no place in `q`.
BARE = ("bad_duration", "too_many_points")


def nodes(*rooms: str) -> Iterator[ast.AST]:
    for room in rooms:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text()))


def constant(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def calls(name: str, *rooms: str) -> Iterator[ast.Call]:
    for node in nodes(*rooms):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def problem_codes() -> set[str]:
    """The second argument of every `Problem`, and what is derived from a status or an error."""
    found = {constant(call.args[1]) for call in calls("Problem", "web", "ingestion_api", "query_api")}
    found |= {"not_found", "method_not_allowed", "invalid_body", "http_error"}  # by status, in web/problems.py
    return found - {""}


def query_codes() -> set[str]:
    """The code of every `QueryError` that a question can meet, as it is answered."""
    found = set()
    for call in calls("QueryError", "query_api", "lakehouse"):
        code = next((constant(keyword.value) for keyword in call.keywords if keyword.arg == "code"), "syntax")
        found.add(code if code in BARE else f"query_{code}")
    return found | {"bad_time", "bad_value"}  # of start and end, and of level


def record_codes() -> set[str]:
    """Every code of a rejected record: a tuple (code, message), or a value of the table of Pydantic's errors."""
    found = set()
    for node in nodes("ingestion_api"):
        if (
            isinstance(node, ast.Tuple)
            and len(node.elts) == 2
            and isinstance(node.elts[1], ast.JoinedStr | ast.Constant)
        ):
            found.add(constant(node.elts[0]))
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            found |= {constant(value) for value in node.value.values}
        if isinstance(node, ast.IfExp):
            found.add(constant(node.orelse))
    return {code for code in found if CODE.match(code)}


def test_every_code_of_a_problem_is_described() -> None:
    codes = problem_codes() | query_codes()
    assert {"outcome_unknown", "query_syntax", "query_too_deep", "bad_duration", "wrong_role"} <= codes
    missing = sorted(code for code in codes if f"`{code}`" not in text("api.md"))
    assert not missing, f"missing in docs/api.md: {', '.join(missing)}"


def test_every_code_of_a_rejected_record_is_described() -> None:
    codes = record_codes()
    assert {"missing_field", "unknown_field", "invalid_json", "invalid_utf8", "too_deep", "record_too_large"} <= codes
    missing = sorted(code for code in codes if f"`{code}`" not in text("api.md"))
    assert not missing, f"missing in docs/api.md: {', '.join(missing)}"


def test_no_described_code_is_one_that_is_never_answered() -> None:
    """Codes are what stands in backticks in the tables of errors."""
    known = problem_codes() | query_codes() | record_codes()
    told = set()
    for line in text("api.md").splitlines():
        if re.match(r"\| (\d{3}|`[a-z_]+`)[, \d]*", line):
            told |= set(re.findall(r"`([a-z_]+)`", line.split("|")[2 if line[2].isdigit() else 1]))
    assert len(told) > 40
    assert told <= known


def commands(command: Any, words: tuple[str, ...]) -> list[str]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children:
        return [" ".join(words)]
    return [line for name, child in children.items() for line in commands(child, (*words, name))]


def test_every_command_is_described() -> None:
    from headwater.__main__ import app

    for line in commands(typer.main.get_command(app), ("headwater",)):
        assert f"`{line}" in text("commands.md"), f"{line} is missing in docs/commands.md"


def test_the_readme_is_short_and_starts_with_the_two_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 120
    top = "\n".join(lines[:30])
    assert top.index("make run") < top.index("make test")


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))])
def test_every_link_to_a_file_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text()):
        assert "://" in target or ((ROOT / name).parent / target).exists(), f"{name} links to {target}"
