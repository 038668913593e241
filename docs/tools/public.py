"""What is public in efg_jax: modules of the API reference, their names, and where the reference describes a name."""

from functools import cache
from importlib import import_module
from types import ModuleType

import efg_jax


@cache
def modules() -> tuple[str, ...]:
    """Modules of the reference: those in `efg_jax.__all__`, and those that its functions and classes come from."""
    values = [getattr(efg_jax, name) for name in efg_jax.__all__]
    paths = [
        value.__name__ if isinstance(value, ModuleType) else value.__module__
        for value in values
        if isinstance(value, ModuleType) or hasattr(value, "__module__")
    ]
    return tuple(sorted({path.split(".")[1] for path in paths}))


@cache
def names(module: str) -> tuple[str, ...]:
    """Public names of a module: its `__all__`, else what it defines without an underscore."""
    found = import_module(f"efg_jax.{module}")
    own = [name for name, value in vars(found).items() if getattr(value, "__module__", None) == found.__name__]
    return tuple(getattr(found, "__all__", [name for name in own if not name.startswith("_")]))


def is_hidden(module: str, name: str) -> bool:
    """True for a function with the name of the file that it is in: mkdocstrings then describes the file."""
    value = getattr(import_module(f"efg_jax.{module}"), name)
    return getattr(value, "__module__", None) == f"efg_jax.{module}.{name}"


def path_of(module: str, name: str) -> str:
    """Path under which the reference describes a public name of a module."""
    return f"efg_jax.{module}.{name}.{name}" if is_hidden(module, name) else f"efg_jax.{module}.{name}"


def home_of(name: str) -> str | None:
    """Path under which the reference describes a name of `efg_jax` itself, None for a plain value."""
    value = getattr(efg_jax, name)
    if isinstance(value, ModuleType):
        return value.__name__
    own = getattr(value, "__module__", "").split(".")[1:2]
    exporting = [module for module in (*own, *modules()) if name in names(module)]
    return path_of(exporting[0], name) if exporting else None


@cache
def documented() -> frozenset[str]:
    """All paths that the reference knows: where a name is exported, and where it is defined."""
    paths = {f"efg_jax.{module}" for module in modules()}
    for module in modules():
        for name in names(module):
            value = getattr(import_module(f"efg_jax.{module}"), name)
            paths |= {path_of(module, name), f"{getattr(value, '__module__', f'efg_jax.{module}')}.{name}"}
    return frozenset(paths)


def is_documented(path: str) -> bool:
    """True for a name of the reference, and for a member of a class there."""
    return path in documented() or path.rpartition(".")[0] in documented() - {f"efg_jax.{m}" for m in modules()}


def exists(path: str) -> bool:
    """True where a path names something in efg_jax, documented or not."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(value, part) and part not in getattr(value, "__annotations__", {}):
                return False
            value = getattr(value, part, None)
        return True
    return False
