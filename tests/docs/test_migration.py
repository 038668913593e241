"""The table for users of other codes: our calls run, and Soprano's give the same numbers where the table says so."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import efg_jax as ej
from efg_jax import tensors
from efg_jax.tensors import V_PER_ANGSTROM2_PER_ATOMIC_UNIT

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?P<theirs>.+?) \| `(?P<ours>[^`]+)` \| ?(?P<note>.*?) ?\|$", re.M)
ROWS = {part.splitlines()[0]: list(ROW.finditer(part)) for part in PAGE.split("\n## ")[1:]}
SMALL = {"cutoff": 4.0, "nmax": 2, "lmax": 1}


def code_of(text):
    return re.fullmatch(r"`([^`]+)`", text)[1]


@pytest.fixture(scope="session")
def names(tmp_path_factory):
    """What the table takes as known: structures with EFGs and made-up shieldings, models of both, files."""
    frames = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) == 6][:8]
    for atoms in frames:
        atoms.arrays["ms"] = 300.0 * np.eye(3) - 2.0 * atoms.arrays["efg"]
    small, folder = ej.LambdaSOAP(**SMALL), tmp_path_factory.mktemp("models")
    models = {
        name: ej.TensorGPR(small, species="O", target=name, regularisation=1e-6).fit(frames) for name in ("efg", "ms")
    }
    for name, fitted in models.items():
        fitted.save(folder / f"{name}.npz")
    efg, ms = (jnp.asarray(frames[0].arrays[name]) for name in ("efg", "ms"))
    axes, both = tensors.principal_axes(efg), ("O", "Si")
    return {
        "ej": ej, "tensors": tensors, "jnp": jnp, "np": np, "frames": frames, "atoms": frames[0], "small": small,
        "fitted": models["ms"], "efg": efg, "ms": ms, "axes": axes, "eta": tensors.asymmetry(axes.values),
        "angles": tensors.euler_angles(axes.axes[0], passive=True), "both": both,
        "found": ej.environments(frames, 5.0, both), "folder": folder,
        "gpr": ej.TensorGPR(small, species="O", regularisation=1e-6),
    }  # fmt: skip


def evaluated(row, names, monkeypatch):
    monkeypatch.chdir(names["folder"])
    return eval(code_of(f"`{row['ours']}`"), dict(names))


@pytest.mark.slow
@pytest.mark.parametrize("row", [row for rows in ROWS.values() for row in rows], ids=lambda row: row["ours"])
def test_our_call_runs(row, names, monkeypatch):
    assert evaluated(row, names, monkeypatch) is not None


@pytest.mark.filterwarnings("ignore")  # Soprano's own
@pytest.mark.parametrize("row", ROWS["Soprano"], ids=lambda row: row["ours"])
def test_soprano_call_runs_and_agrees_where_it_is_said_to(row, names, monkeypatch):
    properties, nmr = pytest.importorskip("soprano.properties.nmr"), pytest.importorskip("soprano.nmr")
    atoms = names["atoms"].copy()
    atoms.arrays["efg"] = atoms.arrays["efg"] / V_PER_ANGSTROM2_PER_ATOMIC_UNIT
    tensor = atoms.arrays["efg"][0]
    ordered = nmr.NMRTensor(tensor, order="n")
    theirs = eval(code_of(row["theirs"]), {**vars(properties), **vars(nmr), "atoms": atoms, "V": tensor, "n": ordered})
    ours = evaluated(row, names, monkeypatch)
    if row["note"] == "=":
        oxygen = np.asarray(atoms.symbols) == "O"  # Soprano's C_Q of silicon is that of its own isotope
        np.testing.assert_allclose(np.asarray(ours)[oxygen], np.asarray(theirs)[oxygen], rtol=2e-6)


def test_the_error_of_the_isotropic_shielding_covers_it(names):
    """Shieldings whose isotropic part is drawn from the model's own prior: the page's expression is its error.

    Root mean square of (true − predicted)/error over draws; the spread of the whole tensor gave 1/2.2 of that.
    """
    (row,) = [row for row in ROWS["ShiftML"] if "get_cs_iso_ensemble" in row["theirs"]]
    frames, rng = [atoms.copy() for atoms in names["frames"]], np.random.default_rng(0)
    descriptor = ej.LambdaSOAP(**SMALL, species=("O", "Si"))
    oxygen = [np.flatnonzero(np.asarray(atoms.symbols) == "O") for atoms in frames]
    found = ej.environments(frames, SMALL["cutoff"], ("O", "Si"), pad=False)
    features = np.asarray(descriptor(found, irreps=((0, 1),))[0, 1])[:, 0]
    rows = features[np.concatenate([atoms.symbols == "O" for atoms in frames])]
    kernel = (rows @ rows.T) ** 2
    values, vectors = np.linalg.eigh(kernel / np.mean(np.diagonal(kernel)))
    scores = []
    for _ in range(6):
        drawn = iter(vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.normal(size=len(values))))
        for atoms, index in zip(frames, oxygen, strict=True):
            iso = np.zeros(len(atoms))
            iso[index] = [next(drawn) for _ in index]
            atoms.arrays["ms"] = (100.0 + 20.0 * iso)[:, None, None] * np.eye(3) - 2.0 * atoms.arrays["efg"]
        model = ej.TensorGPR(ej.LambdaSOAP(**SMALL), species="O", target="ms", regularisation=1e-6)
        fitted = model.fit(frames[:5])
        for atoms, index in zip(frames[5:], oxygen[5:], strict=True):
            error = eval(code_of(f"`{row['ours']}`"), names | {"fitted": fitted, "atoms": atoms})
            actual = np.trace(atoms.arrays["ms"] - fitted.predict(atoms), axis1=1, axis2=2) / 3.0
            scores.extend((actual / error)[index])
            whole = np.sqrt(fitted.predict(atoms, variance=True)[1])
            assert (whole[index] > np.sqrt(3.0) * error[index]).all()
    assert 0.75 < np.sqrt(np.mean(np.square(scores))) < 1.3, np.sqrt(np.mean(np.square(scores)))


def test_calls_of_the_text_run():
    text = "\n".join(line for line in PAGE.splitlines() if not line.startswith("|"))
    calls = re.findall(r"`(ej\.(?:LambdaSOAP|TensorGPR)\([^`]*\))`", text)
    assert len(calls) == 2
    for call in calls:
        assert eval(call, {"ej": ej}) is not None
    assert eval(calls[-1], {"ej": ej}).cutoff_width is None  # TENSOAP's step


def test_no_line_of_a_table_is_left_out():
    lines = [
        line for line in PAGE.splitlines() if line.startswith("|") and not re.match(r"\|[-|]+\||.* efg_jax \|", line)
    ]
    assert lines == [row[0] for rows in ROWS.values() for row in rows]


def test_every_code_has_its_table():
    assert {name: len(rows) > 4 for name, rows in ROWS.items()} == {"Soprano": True, "ShiftML": True, "TENSOAP": True}
    assert sum(row["note"] == "=" for row in ROWS["Soprano"]) >= 8
