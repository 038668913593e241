"""Layers: a package of efg_jax imports only packages below it, at the top of the file. `make lint` runs this as well.

The check reads the source and imports nothing, so that it runs in a second and without JAX. Imports for type checkers
count as imports. An import inside a function is for an optional dependency, or for a module of the same package.
"""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent / "efg_jax"
# From bottom to top. The front door, efg_jax/__init__.py, stands above the library; commands use it as everybody does.
# fmt: off
LAYERS = [
    "version", "errors", "precision", "compilation", "text", "storage", "tensors", "structures", "descriptors",
    "electrostatics", "metrics", "parallel", "plots", "observables", "spectra", "io", "datasets", "report", "models",
    "gp", "network", "trajectories", "sensitivity", "disorder", "learning_curves", "tuning", "auditing",
    "calculator",
    "prediction_files", "__init__", "cli",
]
# fmt: on
# Packages that may import others inside functions, and why.
DEFERRED = {"cli": "`efg-jax --help` must not wait for JAX, so a command imports what it needs when it runs"}
MODELS = {"model", "fitted"}


class Arrow(NamedTuple):
    """One import: the file and line where it stands, the module that it names, and whether it stands in a function."""

    file: Path
    line: int
    module: str
    deferred: bool


def test_packages_import_only_from_below():
    """No arrow up, no circle, no hidden import, no question about the kind of a model outside of models."""
    assert not (found := list(problems(ROOT))), "\n".join(found)


def test_the_check_finds_what_it_is_for(tmp_path):
    """Each kind of violation, in a small package."""
    files = {
        "storage/files.py": "from efg_jax.tensors import eigen\n",
        "tensors/eigen.py": "from efg_jax.tensors.euler import angles\n",
        "tensors/euler.py": "import efg_jax.tensors.eigen\n",
        "tensors/__init__.py": "",
        "io/lines.py": "def f():\n    from efg_jax.tensors import eigen\n    return isinstance(model, str)\n",
        "new/file.py": "from . import file\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    found = "\n".join(problems(tmp_path))
    for expected in (
        "storage/files.py:1: storage → tensors runs up",
        "tensors/eigen.py, tensors/euler.py",
        "io/lines.py:2: io → tensors is hidden in a function",
        "io/lines.py:3: isinstance(model",
        "new/file.py:1: relative import",
        "new has no place",
    ):
        assert expected in found
    assert len(found.splitlines()) == 6


def problems(root: Path) -> Iterator[str]:
    """Violations in a package as lines that name file, line and arrow, and say what to do."""
    circles: dict[str, set[str]] = {}
    for file in sorted(root.rglob("*.py")):
        tree, name = ast.parse(file.read_text(encoding="utf-8")), file.relative_to(root).as_posix()
        own, edges = _package(name), circles.setdefault(name, set())
        for arrow in _arrows(tree, file, root):
            place, other = f"{root.name}/{name}:{arrow.line}:", _package(arrow.module)
            if arrow.module == "":
                yield f"{place} relative import; write the full name, from {root.name}...."
            elif own == other:
                edges.update(() if arrow.deferred else {arrow.module} - {name})
            elif other not in LAYERS or own not in LAYERS:
                missing = own if own not in LAYERS else other
                yield f"{place} {missing} has no place among the layers; add it to LAYERS in tests/test_layers.py"
            elif LAYERS.index(other) > LAYERS.index(own):
                yield f"{place} {own} → {other} runs up; move what both need to a package below {own}"
            elif arrow.deferred and own not in DEFERRED:
                yield f"{place} {own} → {other} is hidden in a function; import it at the top of the file"
        if own not in LAYERS:
            yield f"{root.name}/{name}: {own} has no place among the layers; add it to LAYERS in tests/test_layers.py"
        yield from () if own == "models" else _questions(tree, f"{root.name}/{name}")
    try:
        TopologicalSorter(circles).prepare()
    except CycleError as error:
        yield f"circle of imports: {', '.join(sorted(set(error.args[1])))}; move what they share to a file of its own"


def _package(name: str) -> str:
    """Layer of a file, given by its path within the package."""
    return name.split("/")[0].removesuffix(".py")


def _arrows(tree: ast.Module, file: Path, root: Path) -> Iterator[Arrow]:
    """Imports of the package by itself; their module as a path within it, empty for a relative one."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    hidden = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield Arrow(file, node.lineno, "", False)
            continue
        else:
            continue
        for module in dict.fromkeys(_module(name, root) for name in names if name.split(".")[0] == "efg_jax"):
            yield Arrow(file, node.lineno, module, id(node) in hidden)


def _module(name: str, root: Path) -> str:
    """The file that an import names: that of the last part if there is one, else that of the parts before it."""
    parts = name.split(".")[1:]
    while parts:
        for path in ("/".join(parts) + ".py", "/".join(parts) + "/__init__.py"):
            if (root / path).exists():
                return path
        parts.pop()
    return "__init__.py"


def _questions(tree: ast.Module, name: str) -> Iterator[str]:
    """Places that ask what kind a model is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            asked = node.args[0]
            called = asked.id if isinstance(asked, ast.Name) else getattr(asked, "attr", "")
            if called.lstrip("_") in MODELS:
                yield f"{name}:{node.lineno}: isinstance({called}, ...); give every kind of model a method for it"


if __name__ == "__main__":
    listed = list(problems(ROOT))
    print("\n".join(listed) or "layers: every package imports only from below")
    sys.exit(bool(listed))
