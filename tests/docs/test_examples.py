"""The examples of the documentation run as they are written, on fewer structures and with a smaller descriptor.

A block that cannot run says why.
"""

import re
import shlex
from pathlib import Path

import jax
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator

import efg_jax as ej
from efg_jax import disorder
from efg_jax.cli import app, run

DOCS = Path(__file__).parents[2] / "docs"
# The tutorials are run as notebooks.
PAGES = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "tutorials")
SMALL = {"nmax": 2, "lmax": 1, "cutoff": 4.0}
FENCE = re.compile(r"(?:<!-- not run: (?P<why>.+?) -->\n)?^```(?P<language>python|sh)\n(?P<code>.*?)^```$", re.M | re.S)


def blocks_of(page):
    """(language, code) of the blocks of a page that can run, in their order."""
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [(block["language"], block["code"]) for block in found if not block["why"]]


@pytest.fixture(scope="session")
def frames():
    """Ten silica cells of six atoms."""
    return [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) == 6][:10]


@pytest.fixture(scope="session")
def model(frames, tmp_path_factory):
    """The file of a small model of ¹⁷O."""
    path = tmp_path_factory.mktemp("model") / "o17.npz"
    ej.TensorGPR(ej.LambdaSOAP(**SMALL), species="O", regularisation=1e-5).fit(frames).save(path)
    return path


@pytest.fixture
def workshop(frames, model, tmp_path, monkeypatch):
    """A folder with the files that the pages speak of, and the names that their Python starts with."""
    copies = [atoms.copy() for atoms in frames]
    for copy, atoms in zip(copies, frames, strict=True):
        copy.calc = atoms.calc
    monkeypatch.setattr(ej.datasets, "load", lambda name: [atoms.copy() for atoms in frames])
    descriptor = ej.LambdaSOAP
    monkeypatch.setattr(ej, "LambdaSOAP", lambda **options: descriptor(**options | SMALL))
    build, anneal = disorder.build_lto, disorder.anneal
    monkeypatch.setattr(disorder, "build_lto", lambda repeat, **options: build((1, 1, repeat), **options))
    monkeypatch.setattr(disorder, "anneal", lambda *given, **options: anneal(*given, **options, sweeps=20))
    monkeypatch.chdir(tmp_path)
    Path("o17.npz").write_bytes(model.read_bytes())
    ej.io.write("trajectory.extxyz", copies[:3])
    ej.io.write("more.extxyz", copies[3:5])
    trained = ej.load("o17.npz")
    ej.tuning.write_hyperparameters("small.json", ej.tuning.Hyperparameters.of(trained.model))
    return {"frames": copies, "atoms": copies[0]}


def run_shell(code, capsys):
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words:
            assert words[0] == "efg-jax", line
            if words[1] == "train":
                words += ["--hyperparameters", "small.json"]
            assert run(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page)], ids=lambda page: str(page.relative_to(DOCS))
)
def test_examples_run(page, workshop, capsys):
    for language, code in blocks_of(page):
        if language == "sh":
            run_shell(code, capsys)
        else:
            with jax.numpy_dtype_promotion("standard"):  # as a reader has it; optax needs it
                exec(compile(code, str(page), "exec"), workshop)


def test_commands_that_are_not_run_are_understood():
    lines = [
        shlex.split(line, comments=True)
        for page in PAGES
        for block in FENCE.finditer(page.read_text(encoding="utf-8"))
        if block["why"] and block["language"] == "sh"
        for line in block["code"].splitlines()
        if line.startswith("efg-jax ")
    ]
    assert len(lines) >= 3
    for _, *words in lines:
        app.parse_args(words, exit_on_error=False, print_error=False)  # a usage error names what is wrong


def test_pages_have_examples():
    assert sum(len(blocks_of(page)) for page in PAGES) > 20
    assert np.all([page.read_text(encoding="utf-8").startswith("# ") for page in PAGES])


def test_made_up_shieldings_of_the_page_are_even_and_turn_as_tensors(workshop):
    """The labels of `own-tensors.md` in an inverted and in a turned structure: no model could learn others."""
    page = (DOCS / "how-to" / "own-tensors.md").read_text(encoding="utf-8")
    loop = re.search(r"^for each in frames:.*?(?=^\S)", page, re.M | re.S)[0]
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    labels = {}
    for name, operation in (("plain", np.eye(3)), ("inverted", -np.eye(3)), ("turned", turn)):
        moved = workshop["frames"][0].copy()
        forces = workshop["frames"][0].get_forces() @ operation.T
        moved.calc = SinglePointCalculator(moved, forces=forces)
        moved.arrays["efg"] = operation @ moved.arrays["efg"] @ operation.T
        exec(loop, {"np": np, "frames": [moved]})
        labels[name] = moved.arrays["ms"]
    antisymmetric = labels["plain"] - labels["plain"].swapaxes(1, 2)
    assert np.abs(antisymmetric).max() > 1e-3
    np.testing.assert_allclose(labels["inverted"], labels["plain"], atol=1e-10)
    np.testing.assert_allclose(labels["turned"], turn @ labels["plain"] @ turn.T, atol=1e-10)
