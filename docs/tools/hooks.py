"""What mkdocs takes from the repository instead of from docs/.

These are the README as the start page, studies, data cards, the command line, and a page for each public module.
"""

import re
import sys
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import efg_jax

sys.path.insert(0, str(Path(__file__).parent))  # mkdocs loads this file by its path
import command_line
import public

ROOT = Path(__file__).parents[2]
# Pages that live elsewhere in the repository, by the file that they are on the site.
STUDIES = [path.parent.name for path in sorted(ROOT.glob("experiments/*/README.md"))]
CARDS = [path.name for path in sorted(ROOT.glob("efg_jax/datasets/data/*.md"))]
REPOSITORY = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    **{f"studies/{name}.md": f"experiments/{name}/README.md" for name in STUDIES},
    **{f"data/{name}": f"efg_jax/datasets/data/{name}" for name in CARDS},
}
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill in the parts of the navigation that follow from the repository."""
    pages = {
        "Studies": [page for page in REPOSITORY if page.startswith("studies/")],
        "Data sets": [page for page in REPOSITORY if page.startswith("data/")],
        "API": [
            {"efg_jax": "reference/efg_jax.md"},
            *({f"efg_jax.{module}": f"reference/{module}.md"} for module in public.modules()),
        ],
    }
    for group in config.nav:
        for entries in group.values():
            for entry in entries if isinstance(entries, list) else ():
                for title in pages.keys() & (entry if isinstance(entry, dict) else ()):
                    entry[title] = pages[title]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    pages = {
        page: _moved((ROOT / source).read_text(encoding="utf-8"), source, page) for page, source in REPOSITORY.items()
    }
    pages["command-line.md"] = command_line.page()
    pages["reference/efg_jax.md"] = _public_names()
    pages |= {f"reference/{module}.md": _reference(module) for module in public.modules()}
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
    homes = {name: public.home_of(name) for name in efg_jax.__all__}
    rows = [f"| [`ej.{name}`][{home}] | `{home}` |" for name, home in homes.items() if home]
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
    hidden = [f"efg_jax.{module}.{name}.{name}" for name in public.names(module) if public.is_hidden(module, name)]
    section = "\n::: {}\n    options:\n      heading_level: 2\n      show_root_full_path: false\n"
    return f"::: efg_jax.{module}\n" + "".join(map(section.format, hidden))
