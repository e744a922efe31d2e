"""The plan of the house, checked: who may import whom, how large a module may be, how fast the door opens."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "shipseg"
MODULES = {
    ".".join(("shipseg", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}
# From the ground up; a module imports only from rooms before its own (docs/architecture.md says why).
ROOMS = [
    "errors",
    "extras",
    "files",
    "identity",
    "number_formats",
    "progress",
    "schema",
    "config",
    "processes",
    "recipes",
    "masks",
    "tiling",
    "reading",
    "resizing",
    "geo",
    "synth",
    "data",
    "model",
    "inference",
    "evaluation",
    "reports",
    "scenes",
    "exploration",
    "training",
    "studies",
    "demo",
    "commands",
    "cli",
    "__main__",
]
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_modules(path: Path, *, only_at_import_time: bool) -> set[str]:
    """Return the modules of shipseg that a file imports, by full name."""
    found = set()
    nodes = ast.parse(path.read_text()).body if only_at_import_time else ast.walk(ast.parse(path.read_text()))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return {name for name in found if name in MODULES and name != "shipseg"}


def test_every_module_stands_in_a_known_room() -> None:
    assert {room(module) for module in MODULES} - {""} <= set(ROOMS)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "shipseg"])
def test_a_module_imports_only_from_rooms_above_its_own(module: str) -> None:
    place = ROOMS.index(room(module))
    wrong = [
        other
        for other in imported_modules(MODULES[module], only_at_import_time=False)
        if room(other) != room(module) and ROOMS.index(room(other)) > place
    ]
    assert not wrong


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imported_modules(path, only_at_import_time=False) for module, path in MODULES.items()}
    # A package's __init__ re-exports its own modules; they do not import it back, or this finds them.
    finished: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in finished:
            for other in sorted(graph[module]):
                visit(other, (*trail, module))
            finished.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("module", MODULES)
def test_files_and_functions_stay_readable(module: str) -> None:
    text = MODULES[module].read_text()
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno + 1 <= MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("module", [module for module in MODULES if module != "shipseg.__main__"])
def test_all_names_exactly_the_public_things(module: str) -> None:
    if "__all__" not in MODULES[module].read_text():
        tree = ast.parse(MODULES[module].read_text())
        public = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"]
        assert not public, "a module with public functions or classes says so in __all__"
        return
    loaded = importlib.import_module(module)
    assert len(set(loaded.__all__)) == len(loaded.__all__)
    assert [name for name in loaded.__all__ if not hasattr(loaded, name)] == []
    defined = [
        node.name
        for node in ast.parse(MODULES[module].read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    assert [name for name in defined if name not in loaded.__all__ and module != "shipseg"] == []


def test_help_imports_little_and_so_is_quick() -> None:
    code = "import sys; from shipseg.cli import run\ntry: run(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1].split()
    assert {"torch", "pandas", "matplotlib", "onnxruntime", "cv2", "numpy"}.isdisjoint(imported)
    assert "shipseg.cli" in imported
    assert len(imported) < 450  # 340 as this is written, 33 of them Python's own start


def test_only_figures_imports_matplotlib() -> None:
    importing = re.compile(r"^\s*(import|from) matplotlib", re.MULTILINE)
    found = [name for name, path in MODULES.items() if importing.search(path.read_text())]
    assert found
    assert all(name.startswith("shipseg.reports.figures.") for name in found)
