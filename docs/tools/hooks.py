"""What mkdocs takes from the repository instead of from docs/: studies, data cards, the command line, a page for each public module."""

import ast
import re
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import efg_jax

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads this file by its path
import command_line

ROOT = Path(__file__).parents[2]
# Pages that live elsewhere in the repository, by the file that they are on the site.
REPOSITORY = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    **{f"studies/{path.parent.name}.md": f"experiments/{path.parent.name}/README.md" for path in sorted(ROOT.glob("experiments/*/README.md"))},
    **{f"data/{path.name}": f"efg_jax/datasets/data/{path.name}" for path in sorted(ROOT.glob("efg_jax/datasets/data/*.md"))},
}  # fmt: skip
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
MODULES = sorted({*efg_jax._MODULES, *efg_jax._HOMES})


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the parts of the navigation that follow from the repository."""
    for entry in config.nav:
        if "API reference" in entry:
            entry["API reference"] = [
                {"efg_jax": "reference/efg_jax.md"},
                *({f"efg_jax.{module}": f"reference/{module}.md"} for module in MODULES),
            ]
        if "Accuracy and limits" in entry:
            entry["Accuracy and limits"] += [page for page in REPOSITORY if page.startswith(("studies/", "data/"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    pages = {
        page: _moved((ROOT / source).read_text(encoding="utf-8"), source, page) for page, source in REPOSITORY.items()
    }
    pages["command-line.md"] = command_line.page()
    pages["reference/efg_jax.md"] = _public_names()
    pages |= {f"reference/{module}.md": _reference(module) for module in MODULES}
    for page, content in pages.items():
        files.append(File.generated(config, page, content=content))
    return files


def _moved(text: str, source: str, page: str) -> str:
    """The text with its links as they must be on the site."""
    pages = {path: name for name, path in REPOSITORY.items()}

    def link(found: re.Match) -> str:
        target = normpath(str(PurePosixPath(source).parent / found[1]))
        home = pages.get(target) or target.removeprefix("docs/")
        return f"]({relpath(home, str(PurePosixPath(page).parent))}"

    return LINK.sub(link, text)


def _public_names() -> str:
    rows = [f"| [`ej.{name}`][{_home(name)}] | `{_home(name)}` |" for name in efg_jax.__all__]
    return "\n".join(
        [
            "# efg_jax",
            "",
            "```python",
            "import efg_jax as ej",
            "```",
            "",
            efg_jax.__doc__.strip(),
            "",
            "| name | lives in |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _reference(module: str) -> str:
    """What mkdocstrings makes of a module, and of those of its functions that a file of the same name hides from it."""
    package = ROOT / "efg_jax" / module / "__init__.py"
    imports = (
        [node for node in ast.parse(package.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
        if package.exists()
        else []
    )
    hidden = [
        f"{node.module}.{name.name}"
        for node in imports
        for name in node.names
        if (package.parent / f"{name.name}.py").exists() and node.module == f"efg_jax.{module}.{name.name}"
    ]
    section = "\n::: {}\n    options:\n      heading_level: 2\n      show_root_full_path: false\n"
    return f"::: efg_jax.{module}\n" + "".join(map(section.format, hidden))


def _home(name: str) -> str:
    return f"efg_jax.{efg_jax._MODULE_OF[name]}.{name}" if name in efg_jax._MODULE_OF else f"efg_jax.{name}"
