"""Tables of pure quadrupole resonance."""

import csv
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.errors import InputError
from efg_jax.tensors import coupling_factor, nqr_lines


def chlorides():
    """³⁵Cl with C_Q 72 MHz and −50 MHz (η = 0.3), a silicon, ¹⁴N with 3 MHz and η = 0.4, and a chlorine without."""
    atoms = Atoms("ClClSiNCl", positions=np.arange(15.0).reshape(5, 3))
    atoms.arrays["efg"] = np.full((5, 3, 3), np.nan)
    sites = {0: ("35Cl", 72e6, 0.0), 1: ("35Cl", -50e6, 0.3), 3: ("14N", 3e6, 0.4)}
    for row, (name, c_q, eta) in sites.items():
        values = np.array([-(1 - eta) / 2, -(1 + eta) / 2, 1.0]) * c_q / coupling_factor(name)
        atoms.arrays["efg"][row] = np.diag(values)
    atoms.arrays["efg"][2] = np.diag([1.0, 1.0, -2.0])
    return atoms


def test_lines_of_all_sites_that_have_some(tmp_path):
    table = ej.observables.nqr_table(chlorides())
    assert table["atom"].tolist() == [0, 1, 3, 3, 3]
    assert table["isotope"].tolist() == ["35Cl", "35Cl", "14N", "14N", "14N"]
    assert table["transition"].tolist() == ["1/2–3/2", "1/2–3/2", "0–1−", "0–1+", "1−–1+"]
    assert_allclose(table["frequency_mhz"], [36.0, 25 * np.sqrt(1.03), 1.95, 2.55, 0.6], rtol=1e-9)
    assert_allclose(table["intensity"], [0.4, 0.4, 1 / 3, 1 / 3, 1 / 3], rtol=1e-9)
    assert_allclose(table["c_q_mhz"], [72, -50, 3, 3, 3], rtol=1e-9)
    assert len(table) == 5
    table.to_csv(tmp_path / "a.csv")
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert_allclose([float(row["frequency_mhz"]) for row in rows], table["frequency_mhz"])
    table.to_json(tmp_path / "a.json")
    read = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert read["isotopes"]["35Cl"]["spin"] == 1.5
    assert read["lines"][4]["transition"] == "1−–1+"
    assert "25.3722" in str(table)
    assert "35Cl -81.65 mb" in str(table)


def test_nuclei_and_elements_are_chosen():
    table = ej.observables.nqr_table(chlorides(), species="Cl", isotopes={"Cl": "37Cl"})
    assert_allclose(table["frequency_mhz"][0], 36.0 * 64.35 / 81.65, rtol=1e-9)
    assert len(ej.observables.nqr_table(chlorides(), species="N", least=0.5, isotopes={"N": "14N"})) == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"species": "Si"}, "no NQR"),
        ({"isotopes": {"N": "15N"}}, "15N has spin 0.5"),
        ({"species": "O"}, "no atom of O"),
    ],
)
def test_what_has_no_resonance_is_said(options, says):
    with pytest.raises(InputError, match=says):
        ej.observables.nqr_table(chlorides(), **options)


@pytest.mark.parametrize("seed", [0, 1])
def test_levels_that_are_one_have_no_line_between_them(seed):
    """Axial ¹⁴N, however it is turned, a cubic site with what rounding leaves there, and one of exactly zero."""
    atoms = Atoms("N3", positions=np.arange(9.0).reshape(3, 3))
    turn = Rotation.random(random_state=seed).as_matrix()
    axial = turn @ np.diag([-0.5, -0.5, 1.0]) @ turn.T * 3e6 / coupling_factor("14N")
    noise = np.random.default_rng(seed).normal(size=(3, 3)) * 1e-14
    atoms.arrays["efg"] = np.stack([axial, noise + noise.T - np.eye(3) * np.trace(noise) * 2 / 3, np.zeros((3, 3))])
    table = ej.observables.nqr_table(atoms)
    assert table["transition"].tolist() == ["0–1−", "0–1+"]
    assert_allclose(table["frequency_mhz"], 2.25, rtol=1e-9)
    with ej.x64():
        lines = nqr_lines(jnp.asarray(atoms.arrays["efg"]), "14N")
        slopes = jax.jacobian(lambda efg: nqr_lines(efg, "14N").intensity)(jnp.asarray(axial))
    assert_allclose(np.asarray(lines.intensity)[::2], [[1 / 3, 1 / 3, 0.0], [0.0] * 3], atol=1e-9)
    assert np.isfinite(slopes).all()
    assert len(ej.observables.nqr_table(atoms[1:])) == 0
