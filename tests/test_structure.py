"""The shape of the tree: which room may import which, who owns which library, how long a file or function may be."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
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

# The folders and modules of a room, the lowest first. A name imports only names of lines above its own: names of one
# line stand beside each other and import nothing of each other. "." is the room's `__init__.py`, which
# stands above all of them where no line names it.
LAYERS: dict[str, tuple[str, ...]] = {
    "lakehouse": ("s3 conditions memory record_view", "match", "delta", "sql", "lake", "hot", ".", "read upkeep"),
    "lakehouse.hot": ("tantivy opensearch",),
    "lakehouse.upkeep": (
        "care scratch",
        "pinned archive",
        "policy compaction rollups imports provenance",
        "quality rebuild",
        "erasure retention",
    ),
    "flows": (
        "arrivals connections patience",
        "parse read",
        "write",
        "graph",
        "alone embedded erase_bus",
        "dead_letters events logs metrics __main__",
    ),
    "bus": ("topics renumbered", "sqlite kafka", "."),
    "headwater": (
        "console options keyring running presence",
        "rest supervision",
        "commands demo doctor",
        "__main__",
    ),
    "orchestration": (
        "names days holder resources due",
        "failures",
        "assets",
        "schedules process",
        "definitions __main__",
    ),
}

# Imports that break the layers and are to go, as "importer -> imported". The list only gets shorter.
KNOTS: set[str] = set()

# Rooms that the path of a record leads through: a class name means one thing in all of them.
ONE_NAMED = ("contracts", "lakehouse", "flows", "headwater", "orchestration")

# Names of two classes that are to become one or to differ. The list only gets shorter.
TWINS = set[str]()

OWNER = {
    "pydantic_settings": "contracts",
    "tantivy": "lakehouse",
    "deltalake": "lakehouse",
    "pyarrow": "lakehouse",
    "psutil": "agents",
    "re2": "text",
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
    "luqum": "lakehouse",
    "typer": "headwater",
    "rich": "headwater",
    "uvicorn": "web",
    "fcntl": "contracts",  # one way to lock a file
}

BANNED = {"utils", "helpers", "common", "misc", "manager", "base"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


def modules(room: str) -> Iterator[Path]:
    return (ROOT / room).rglob("*.py")


def imports_of(root: Path, rooms: Iterable[str]) -> dict[str, set[str]]:
    """The imports of every module of `rooms` below `root`: by module, modules of `rooms`. Imports within functions and
    under TYPE_CHECKING count, and so do those of a name out of a package: `from a import b` is `a.b` if that exists."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for room in rooms
        for path in (root / room).rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}:{node.lineno} imports by dots: name the room"
                full = {alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                names |= {name if name in paths else str(node.module) for name in full.values()}
        found[module] = (names & paths.keys()) - {module}
    return found


@functools.cache
def imports_of_the_product() -> dict[str, set[str]]:
    return imports_of(ROOT, MAY_IMPORT)


def part_of(module: str, room: str) -> str:
    """The folder or module of `room` that `module` is or is in; "." for the room itself."""
    return module.removeprefix(room).removeprefix(".").partition(".")[0] or "."


def broken_layers(imports: dict[str, set[str]], room: str, layers: tuple[str, ...]) -> set[str]:
    """Imports within `room` that do not point down, as "importer -> imported"."""
    lines = (*layers, ".") if "." not in " ".join(layers).split() else layers
    height = {name: number for number, line in enumerate(lines) for name in line.split()}
    within = {module for module in imports if module == room or module.startswith(f"{room}.")}
    unknown = {part_of(module, room) for module in within} - height.keys()
    assert not unknown, f"{room}: say in LAYERS where {sorted(unknown)} stands"
    return {
        f"{importer} -> {imported}"
        for importer in within
        for imported in imports[importer] & within
        if (above := part_of(importer, room)) != (below := part_of(imported, room)) and height[above] <= height[below]
    }


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that import each other, directly or by others. What is left when each module goes that imports none of
    the rest, and each that none of the rest imports, is on a circle or between two."""
    rest = {module: set(names) for module, names in imports.items()}
    while True:
        imported = set().union(*rest.values())
        gone = {module for module, names in rest.items() if not names or module not in imported}
        if not gone:
            return [[module, *sorted(names)] for module, names in sorted(rest.items())]
        rest = {module: names - gone for module, names in rest.items() if module not in gone}


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


@pytest.mark.parametrize("room", LAYERS)
def test_a_folder_imports_only_what_stands_below_it(room: str) -> None:
    wrong = broken_layers(imports_of_the_product(), room, LAYERS[room]) - KNOTS
    assert not wrong, f"imports that do not point down: {sorted(wrong)}"


def test_every_knot_that_is_listed_is_still_there() -> None:
    imports = imports_of_the_product()
    broken = set().union(*(broken_layers(imports, room, layers) for room, layers in LAYERS.items()))
    assert not KNOTS - broken, "these are cut: take them from KNOTS"


def test_every_name_of_the_layers_is_in_the_tree() -> None:
    for room, layers in LAYERS.items():
        folder = ROOT / room.replace(".", "/")
        for name in " ".join(layers).split():
            assert name == "." or (folder / name).is_dir() or (folder / f"{name}.py").is_file(), f"{room} has no {name}"


def test_no_modules_of_the_product_import_each_other_in_a_circle() -> None:
    assert circles(imports_of_the_product()) == []


def written(root: Path, **modules: str) -> Path:
    for name, text in modules.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "forbidden",
    [
        "from lake.read.search import find",
        "from lake.read import search",
        "import lake.read.search",
        "def late():\n    from lake.read.search import find",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from lake.read.search import Find",
        "from lake.s3.store import put",  # beside it in the same line of the layers
    ],
)
def test_the_rule_sees_a_forbidden_import_however_it_is_written(tmp_path: Path, forbidden: str) -> None:
    root = written(
        tmp_path,
        lake__read__search="from lake.delta.table import rows",
        lake__delta__table=f"import json\n{forbidden}\n",
        lake__s3__store="",
    )
    imports = imports_of(root, ["lake"])
    target = "lake.s3.store" if "s3" in forbidden else "lake.read.search"

    assert broken_layers(imports, "lake", ("delta s3", "read")) == {f"lake.delta.table -> {target}"}


def test_the_rule_sees_a_circle_and_what_hangs_on_it_is_none(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        a__top="from a.one import x",
        a__one="def late():\n    from a import two",
        a__two="import a.three",
        a__three="from a.one import x\nfrom a.low import y",
        a__low="",
    )
    found = circles(imports_of(root, ["a"]))

    assert found == [["a.one", "a.two"], ["a.three", "a.one"], ["a.two", "a.three"]]


def test_no_two_classes_have_one_name() -> None:
    found: dict[str, list[str]] = {}
    for room in ONE_NAMED:
        for path in modules(room):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: places for name, places in found.items() if len(places) > 1}.keys() == TWINS


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
