"""Cross-references of docstrings, :func:`efg_jax.tensors.efg.asymmetry`, as links of the site."""

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|mod|meth|attr|data):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites the roles before docstrings become Markdown; a name without a path belongs to the module that it stands in."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda role: _link(role[1], obj), obj.docstring.value)


def _link(name: str, home: griffe.Object) -> str:
    path = name if name.startswith("efg_jax") else f"{home.module.path}.{name}"
    return f"[`{name.rpartition('.')[2]}`][{path}]"
