"""The shape of the tree: which room may import which, who owns which library, how long a file or function may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT: dict[str, set[str]] = {
    "contracts": set(),
    "text": set(),
    "bus": {"contracts"},
    "lakehouse": {"contracts", "text"},
    "web": {"contracts"},
    "agents": {"contracts", "text"},
    "ingestion_api": {"contracts", "text", "bus", "web"},
    "flows": {"contracts", "text", "bus", "lakehouse"},
    "query_api": {"contracts", "text", "bus", "lakehouse", "web"},
    "orchestration": {"contracts", "bus", "lakehouse"},
    "headwater": {
        "contracts",
        "text",
        "bus",
        "lakehouse",
        "web",
        "agents",
        "ingestion_api",
        "flows",
        "query_api",
        "orchestration",
    },
}

OWNER = {
    "pydantic_settings": "contracts",
    "tantivy": "lakehouse",
    "deltalake": "lakehouse",
    "pyarrow": "lakehouse",
    "psutil": "agents",
    "boto3": "lakehouse",
    "botocore": "lakehouse",
    "bytewax": "flows",
    "confluent_kafka": "bus",
    "kafka": "bus",
    "opensearchpy": "lakehouse",
    "pybreaker": "ingestion_api",
    "dagster": "orchestration",
    "dagster_webserver": "orchestration",
    "great_expectations": "orchestration",
    "luqum": "query_api",
    "typer": "headwater",
    "rich": "headwater",
    "uvicorn": "web",
}

BANNED = {"utils", "helpers", "common", "misc", "manager", "base"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


def modules(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


def imported_roots(path: Path) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            roots.add(node.module.split(".")[0])
    return roots


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_the_rooms_below_it(room: str) -> None:
    for path in modules(room):
        above = {name for name in imported_roots(path) if name in MAY_IMPORT} - MAY_IMPORT[room] - {room}
        assert not above, f"{path.relative_to(ROOT)} imports {sorted(above)}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_large_library_is_imported_only_by_its_owner(room: str) -> None:
    for path in modules(room):
        foreign = {name for name in imported_roots(path) if OWNER.get(name, room) != room}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_every_package_of_the_tree_is_a_known_room() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "benchmarks", "scripts"} == set(MAY_IMPORT)
    assert not (ROOT / "__init__.py").exists(), "bytewax.run imports flows from the root; it must not be a package"


@pytest.mark.parametrize("room", [*MAY_IMPORT, "tests", "benchmarks", "scripts"])
def test_files_and_functions_stay_short(room: str) -> None:
    for path in modules(room):
        text = path.read_text()
        place = path.relative_to(ROOT)
        assert len(text.splitlines()) <= MAX_FILE_LINES, f"{place} is longer than {MAX_FILE_LINES} lines"
        assert path.stem not in BANNED, f"{place}: say what it holds"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                assert length <= MAX_FUNCTION_LINES, f"{place}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("room", [*MAY_IMPORT, "scripts"])
def test_every_module_says_what_it_is(room: str) -> None:
    for path in modules(room):
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.relative_to(ROOT)} has no docstring"
