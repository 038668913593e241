"""The documentation builds without a warning or a fetch, has every public name, and shows the notebooks as they are."""

import os
import re
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path

import pytest

import efg_jax
from efg_jax.cli import COMMANDS, run

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
# Nothing may be fetched while the site is built: any connection ends it.
OFFLINE = """
import socket, sys

def refuse(*_):
    raise SystemExit("the site was built with the network")

socket.socket.connect = socket.create_connection = refuse
from mkdocs.__main__ import cli
sys.exit(cli(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is an error."""
    pytest.importorskip("mkdocstrings_handlers.python")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        # Without --quiet: it also hides the warnings from --strict, which then counts none.
        [sys.executable, "-c", OFFLINE, "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def anchors(site):
    """Names of the API reference, from its inventory."""
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(anchors, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    public = import_module("public")
    assert {"tensors", "spectra", "trajectories", "sensitivity", "observables", "io"} <= set(public.modules())
    described = [public.path_of(module, name) for module in public.modules() for name in public.names(module)]
    assert [path for path in described if path not in anchors] == []


@pytest.mark.slow
def test_no_role_of_another_markup_is_left(site):
    for page in (site / "reference").glob("*.html"):
        assert not re.search(r":(?:func|class|mod|meth|attr):`", page.read_text(encoding="utf-8")), page.name


@pytest.mark.slow
def test_the_page_on_the_command_line_has_all_of_it(site, capsys):
    page = (site / "command-line.html").read_text(encoding="utf-8")
    assert "--install-completion" in page
    # Every option that a terminal is shown is on the page.
    for command in (name.replace("_", "-") for name in COMMANDS):
        assert f'id="{command}"' in page
        assert run([command, "--help"]) == 0
        shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", capsys.readouterr().out))
        assert shown
        assert [option for option in shown if option not in page] == [], command


@pytest.mark.slow
def test_every_page_can_be_reached(site):
    start = (site / "index.html").read_text(encoding="utf-8")
    # The same page is in the navigation of all; mkdocs itself warns of pages that are in none.
    for page in ("tutorials/spectra.html", "how-to/predict.html", "reference/tensors.html", "studies/silica.html"):
        assert f'href="{page}"' in start, page
        assert (site / page).is_file()


@pytest.mark.parametrize("source", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_page_of_a_notebook_is_that_notebook(source, monkeypatch):
    jupytext = pytest.importorskip("jupytext")
    monkeypatch.syspath_prepend(ROOT / "docs" / "tools")
    source_of = import_module("notebooks").source_of
    page = (ROOT / "docs" / "tutorials" / f"{source.stem}.md").read_text(encoding="utf-8")
    position = 0
    for cell in jupytext.read(source).cells:
        # The note on where the page comes from follows the first heading.
        for part in source_of(cell).split("\n", 1) if position == 0 else [source_of(cell)]:
            found = page.find(part.strip(), position)
            assert found >= 0, f"run `make notebooks`: {source.name} has changed since its page was made\n{part}"
            position = found + len(part.strip())
    figures = re.findall(r"\]\(([\w-]+\.png)\)", page)
    assert figures
    assert all((ROOT / "docs" / "tutorials" / figure).is_file() for figure in figures)


def test_pictures_of_the_conventions_are_there():
    page = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r'"(\w+)": \w+_picture', (ROOT / "docs" / "tools" / "pictures.py").read_text()))
    assert drawn == set(re.findall(r"\(conventions/(\w+)\.png\)", page))
    assert all((ROOT / "docs" / "conventions" / f"{name}.png").is_file() for name in drawn)


def test_every_formula_of_the_tensors_is_on_the_page():
    page = (ROOT / "docs" / "conventions.md").read_text(encoding="utf-8")
    classes = {"Haeberlen", "Isotope", "Maryland", "PrincipalAxes"}  # what functions return
    lists = {"default_isotope", "isotopes"}
    named = [name for name in efg_jax.tensors.__all__ if name not in classes | lists]
    missing = [name for name in named if f"][efg_jax.tensors.{name}]" not in page]
    assert not missing
