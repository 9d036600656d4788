"""The house: a folder imports only from lower floors, nothing goes in a circle, no room is too full."""

import ast
import graphlib
import importlib.util
from collections import Counter
from pathlib import Path

import pytest

import minisvdd

FLOORS = (
    {"version", "errors", "validation", "lazy", "places", "interrupt", "closed"},  # single files, one room: below all
    {"backends"},
    {"ops", "files"},
    {"nn", "data"},
    {"svdd"},
    {"rivals"},
    {"gradcheck", "experiments"},
    {"attack", "course", "export", "lecture"},
    {"cli"},
    {"__init__", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_FILES, MOST_LINES = 13, 500

PACKAGE = Path(minisvdd.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] != "lectures"  # what travels with an installed package, and nothing imports
}


def imports(module):
    """The files of ours that a file imports, anywhere in it: also inside a function, also for type checkers only."""
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            names = [f"{source}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            yield from [name] if name else []


GRAPH = {module: set(imports(module)) for module in MODULES}


def room(module):
    return (module.split(".") + ["__init__"])[1]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_imported_from_above_or_beside(module):
    here = room(module)
    for imported in GRAPH[module]:
        there = room(imported)
        assert here == there or FLOOR[there] < FLOOR[here] or FLOOR[there] == 0, f"{module} imports {imported}"
        assert there != "cli" or here in ("cli", "__main__"), f"{module} imports {imported}"


def test_no_file_imports_itself_on_a_detour():
    graphlib.TopologicalSorter(GRAPH).prepare()  # a CycleError names the files


def test_no_room_is_too_full():
    files = Counter(path.parent for path in MODULES.values())
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in MODULES.values()}
    assert {str(folder): count for folder, count in files.items() if count > MOST_FILES} == {}
    assert {str(path): count for path, count in lines.items() if count > MOST_LINES} == {}


def test_the_floors_would_notice():
    """The parser finds what there is to find: relative, absolute and late imports, of modules and of names in them."""
    assert {"minisvdd.backends.emulator", "minisvdd.backends.kernel"} <= GRAPH["minisvdd.course.cage.kernels"]
    assert {"minisvdd.svdd.center", "minisvdd.svdd.storage", "minisvdd.validation"} <= GRAPH["minisvdd.svdd.svdd"]
    assert "minisvdd.svdd.svdd" in GRAPH["minisvdd"]
