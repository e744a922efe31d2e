"""The architecture, checked: allowed imports between packages, size of modules, imports of the command line."""

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
# A module imports only from packages and modules above its own in this list (see docs/architecture.md).
LAYERS = [
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


def layer(module: str) -> str:
    """Return the package or top-level module below shipseg."""
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


def test_every_module_is_in_a_known_layer() -> None:
    assert {layer(module) for module in MODULES} - {""} <= set(LAYERS)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "shipseg"])
def test_a_module_imports_only_from_layers_above_its_own(module: str) -> None:
    position = LAYERS.index(layer(module))
    wrong = [
        other
        for other in imported_modules(MODULES[module], only_at_import_time=False)
        if layer(other) != layer(module) and LAYERS.index(layer(other)) > position
    ]
    assert not wrong


def test_there_is_no_import_cycle() -> None:
    graph = {module: imported_modules(path, only_at_import_time=False) for module, path in MODULES.items()}
    # A package's __init__ may re-export its modules; if one of them imports it back, that is a cycle.
    finished: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in finished:
            for other in sorted(graph[module]):
                visit(other, (*path, module))
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
def test_all_lists_exactly_the_public_names(module: str) -> None:
    if "__all__" not in MODULES[module].read_text():
        tree = ast.parse(MODULES[module].read_text())
        public = [n.name for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef)) and n.name[0] != "_"]
        assert not public, "a module with public functions or classes needs __all__"
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


def test_help_imports_few_modules() -> None:
    code = "import sys; from shipseg.cli import run\ntry: run(['--help'])\nfinally: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1].split()
    assert {"torch", "pandas", "matplotlib", "onnxruntime", "cv2", "numpy"}.isdisjoint(imported)
    assert "shipseg.cli" in imported
    assert len(imported) < 450  # 340 when this was written, 33 of them at the start of Python


def test_only_figures_imports_matplotlib() -> None:
    importing = re.compile(r"^\s*(import|from) matplotlib", re.MULTILINE)
    found = [name for name, path in MODULES.items() if importing.search(path.read_text())]
    assert found
    assert all(name.startswith("shipseg.reports.figures.") for name in found)
