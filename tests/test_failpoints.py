"""Every failpoint is reached by its code and gone through by a kill test, on a folder and on S3 alike."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from contracts.failpoints import FAILPOINTS
from tests.test_structure import MAY_IMPORT

ROOT = Path(__file__).resolve().parents[1]
KILL_TESTS = {
    "archive": ("tests.lakehouse.upkeep.archive.test_moves", "tests.real.test_s3_archive"),
    "compaction": ("tests.lakehouse.upkeep.compaction.test_compact", "tests.real.test_s3_compaction"),
    "erase": ("tests.headwater.commands.test_erase", "tests.real.test_s3_erase"),
    "hot": ("tests.headwater.commands.test_erase", "tests.lakehouse.upkeep.retention.test_apply"),  # each has one
    "hot_opensearch": ("tests.real.test_opensearch_rebuild",),
    "hot_rebuild": ("tests.lakehouse.upkeep.rebuild.test_hot_day", "tests.real.test_s3_rebuild"),
    "import": ("tests.headwater.commands.test_import", "tests.real.test_s3_import"),
    "retention": ("tests.lakehouse.upkeep.retention.test_apply", "tests.real.test_s3_retention"),
    "rollup": ("tests.lakehouse.upkeep.rollups.test_rollups", "tests.real.test_s3_rollups"),
}


def registered() -> Iterator[tuple[Path, str, str]]:
    """Of the source: file, constant and name of each failpoint."""
    for path in sorted(path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
                call, target = node.value, node.targets[0]
                if isinstance(call.func, ast.Name) and call.func.id == "failpoint":
                    assert isinstance(target, ast.Name)
                    yield path, target.id, ast.literal_eval(call.args[0])


POINTS = list(registered())


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.partition("#")[0]
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from strings(each)


def named(module: str) -> set[str]:
    """What the tests of a module name: in their parameters, and in words and constants that they use."""
    found: set[str] = set()
    for name, test in vars(importlib.import_module(module)).items():
        if name.startswith("test_") and isinstance(test, FunctionType):
            words = test.__code__.co_names
            used = [test.__globals__.get(word) for word in words]
            used += [getattr(each, word, None) for each in used if isinstance(each, ModuleType) for word in words]
            marks = [mark.args for mark in getattr(test, "pytestmark", ())]
            found.update(strings([used, marks, test.__code__.co_consts]))
    return found


def survivors(points: Iterable[str], modules: Iterable[str]) -> set[str]:
    """Failpoints at which no test of these modules kills."""
    return set(points) - set().union(*(named(module) for module in modules))


def test_every_failpoint_is_known_where_its_module_is_imported() -> None:
    for path, _, _ in POINTS:
        importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))

    assert {name for _, _, name in POINTS} == set(FAILPOINTS)


@pytest.mark.parametrize(("path", "constant", "name"), POINTS, ids=[name for _, _, name in POINTS])
def test_a_failpoint_is_reached_by_the_code_that_registers_it(path: Path, constant: str, name: str) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    reached = {ast.unparse(call.args[0]) for call in calls if ast.unparse(call.func) == "reach" and call.args}

    assert constant in reached, f"nobody reaches {name}"


@pytest.mark.parametrize("prefix", sorted({name.partition(".")[0] for _, _, name in POINTS}))
def test_a_failpoint_is_gone_through_by_kill_tests(prefix: str) -> None:
    points = {name for _, _, name in POINTS if name.partition(".")[0] == prefix}
    modules = KILL_TESTS[prefix]

    if prefix == "hot":
        assert survivors(points, modules) == set()
    for module in modules if prefix != "hot" else ():
        assert survivors(points, [module]) == set(), f"name them in a kill test of {module}"


def test_a_failpoint_without_a_kill_test_is_found() -> None:
    assert survivors(["archive.copied", "archive.forgotten"], KILL_TESTS["archive"]) == {"archive.forgotten"}
