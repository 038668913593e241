"""Cross-references of docstrings, :func:`efg_jax.tensors.efg.asymmetry`, as links of the site."""

import re
import sys
from pathlib import Path
from typing import Any

import griffe

sys.path.insert(0, str(Path(__file__).parent))  # mkdocstrings loads this file by its path
import public

ROLE = re.compile(r":(?:func|class|mod|meth|attr|data):`~?([\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites the roles before docstrings become Markdown.

    A name without a path belongs to the module that it stands in. A name that is internal, and so on no page, is shown
    as code; one that does not exist stays a link, of which the build complains.
    """

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda role: _link(role[1], obj), obj.docstring.value)


def _link(name: str, home: griffe.Object) -> str:
    path = name if name.startswith("efg_jax") else f"{home.module.path}.{name}"
    shown = f"`{name.rpartition('.')[2]}`"
    return shown if public.exists(path) and not public.is_documented(path) else f"[{shown}][{path}]"
