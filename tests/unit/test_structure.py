"""The import structure: a folder imports only from lower folders, without import cycles of folders or files.

ROOTS lists each root with its floors, lowest first. A floor is a set of folders (or files directly in the root); its
members may import from lower floors and from themselves, not from each other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

REPO = Path(__file__).resolve().parents[2]

Graph = dict[str, set[str]]


class Root(NamedTuple):
    """folder: relative to the repository; package: its name in absolute imports; floors: lowest first."""

    folder: str
    package: str
    floors: tuple[frozenset[str], ...]


def floors(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(floor.split()) for floor in names)


ROOTS = (
    Root(
        "lab",
        "lab",
        floors(
            "errors paths progress",
            "programs settings",
            "control_plane",
            "pods",
            "vendor",
            "traffic charts",
            "inventory supervise sites",
            "__main__",
        ),
    ),
    Root(
        "plugins/module_utils",
        "module_utils",
        floors(
            "k8s",
            "engine apply",
            "helm istiod",
            "mesh",
            "gateway",
            "site",
            "traffic",
            "doctor bundle report cleanup",
        ),
    ),
)


def modules(root: Path) -> dict[str, Path]:
    """Dotted name below the root -> file, without the empty `__init__` files."""
    paths = (path for path in sorted(root.rglob("*.py")) if path.name != "__init__.py")
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in paths}


def imports(name: str, path: Path, package: str) -> Iterator[str]:
    """Dotted names below the root that a file imports, also inside functions; `from a import b` gives a and a.b."""
    here = [package, *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = here[: max(0, len(here) + 1 - node.level)]
                base = ".".join([*above, base] if base else above)
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for target in targets:
            if target.startswith(f"{package}."):
                yield target.removeprefix(f"{package}.")


def file_graph(root: Path, package: str) -> Graph:
    """Module -> modules it imports."""
    known = modules(root)
    return {
        name: {target for target in imports(name, path, package) if target in known and target != name}
        for name, path in known.items()
    }


def folder_graph(files: Graph) -> Graph:
    """The same between folders and files directly in the root."""
    graph: Graph = {}
    for name, targets in files.items():
        folder = name.partition(".")[0]
        graph.setdefault(folder, set()).update(target.partition(".")[0] for target in targets)
    return {folder: targets - {folder} for folder, targets in graph.items()}


def circle(graph: Graph) -> list[str]:
    """One circle, empty when there is none."""
    done: set[str] = set()

    def search(node: str, path: tuple[str, ...]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node not in done:
            for target in sorted(graph.get(node, ())):
                found = search(target, (*path, node))
                if found:
                    return found
            done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := search(node, ()))), [])


def problems(root: Path, package: str, order: tuple[frozenset[str], ...]) -> Iterable[str]:
    """Every violation in one line of text."""
    files = file_graph(root, package)
    floor_of = {name: number for number, floor in enumerate(order) for name in floor}
    present = {name.partition(".")[0] for name in files}
    yield from (f"{name}: on no floor" for name in sorted(present - floor_of.keys()))
    yield from (f"{name}: on a floor, but does not exist" for name in sorted(floor_of.keys() - present))
    for name, targets in sorted(files.items()):
        folder = name.partition(".")[0]
        for target in sorted(targets):
            other = target.partition(".")[0]
            if other != folder and floor_of.get(other, -1) >= floor_of.get(folder, len(order)):
                yield f"{name} imports {target}: {other} is not below {folder}"
    for kind, graph in (("files", files), ("folders", folder_graph(files))):
        found = circle(graph)
        if found:
            yield f"circle of {kind}: {' -> '.join(found)}"
    for path in root.rglob("__init__.py"):
        if path.read_text().strip():
            yield f"{path.relative_to(root)}: must be empty"


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.folder)
def test_imports_go_down_and_form_no_circle(root: Root) -> None:
    assert list(problems(REPO / root.folder, root.package, root.floors)) == []


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.folder)
def test_imports_are_found(root: Root) -> None:
    """The check above would also pass if no import was recognised."""
    files = file_graph(REPO / root.folder, root.package)
    assert sum(map(len, folder_graph(files).values())) >= len(root.floors) - 1


def test_the_lab_does_not_import_the_product() -> None:
    for path in (REPO / "lab").rglob("*.py"):
        assert "ansible_collections" not in path.read_text(), path


CLEAN = {
    "low/__init__.py": "",
    "low/a.py": "import json\n",
    "low/b.py": "from tree.low import a\n",
    "high/__init__.py": "",
    "high/c.py": "from ..low.b import x\nfrom . import d\n",
    "high/d.py": "import tree.low.a\n",
    "side.py": "from tree.low.a import x\n",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"low/a.py": "from tree.high import d\n"}, ["low.a imports high.d", "circle of files", "circle of folders"]),
        ({"low/a.py": "from ..high.e import x\n", "high/e.py": ""}, ["low.a imports high.e", "circle of folders"]),
        ({"low/a.py": "def f():\n    import tree.high.e\n", "high/e.py": ""}, ["low.a imports", "circle of folders"]),
        ({"low/a.py": "from .b import x\n"}, ["circle of files: low.a -> low.b -> low.a"]),
        ({"high/d.py": "from . import c\n"}, ["circle of files: high.c -> high.d -> high.c"]),
        ({"side.py": "from tree.high import d\n"}, ["side imports high.d: high is not below side"]),
        ({"new/x.py": ""}, ["new: on no floor"]),
        ({"side.py": None}, ["side: on a floor, but does not exist"]),
        ({"low/__init__.py": "from .a import x\n"}, ["low/__init__.py: must be empty"]),
    ],
)
def test_a_violation_is_found(tmp_path: Path, change: dict[str, str | None], expected: list[str]) -> None:
    for name, text in {**CLEAN, **change}.items():
        if text is not None:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
    found = list(problems(tmp_path, "tree", floors("low", "high side")))
    assert len(found) == len(expected), found
    assert all(text in line for text, line in zip(expected, found, strict=True)), found
