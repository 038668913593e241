"""Sites of structures: conventions, references, and what is refused."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax import InputError

V = np.array([[-0.20, 0.05, 0.10], [0.05, 0.35, -0.12], [0.10, -0.12, -0.15]]) * 97.173624424
SIGMA = np.array([[30.0, 5, -8], [2, 60, 4], [-6, 7, 120]])


@pytest.fixture
def oracle(molecule):
    """The tensors whose parameters Soprano gives."""
    atoms = molecule.copy()
    atoms.arrays["efg"][0], atoms.arrays["ms"][0] = V, SIGMA
    return atoms


def test_parameters_of_a_site(oracle):
    """C_Q, η, ζ, η of Soprano 0.11.4, and angles that turn the principal values back into the tensors."""
    site = next(iter(ej.spectra.sites(oracle, "17O", reference=0.0)))
    assert_allclose((site.c_q, site.eta_q), (-2.27538397e6, 0.5765708), rtol=1e-7)
    assert_allclose((site.shift, site.zeta, site.eta_csa), (-70.0, 50.98815, 0.60976), rtol=1e-5)
    values = [-0.08014975, -0.29842477, 0.37857453]
    for angles, haeberlen, tensor in (
        (site.euler_q, np.array([values[1], values[0], values[2]]) * 97.173624424, V),
        (site.euler_csa, [28.96061, 60.05124, 120.98815], (SIGMA + SIGMA.T) / 2),
    ):
        a, b, g = angles

        def z(angle):
            return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

        y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        to_axes = z(a) @ y @ z(g)  # passive: T_PAS = Rᵀ T R
        assert_allclose(to_axes.T @ np.diag(haeberlen) @ to_axes, tensor, atol=2e-4)


def test_reference_and_shift(oracle):
    found = ej.spectra.sites(oracle, "17O", reference=287.5)
    assert_allclose(found.isotropic_shift[0], (287.5 - 70.0) / (1 - 287.5e-6))
    bare = ej.spectra.sites(oracle, "17O", shift=5.0)
    assert_allclose(bare.shift, np.tile(5.0 * np.eye(3), (2, 1, 1)))
    assert len(ej.spectra.sites(oracle, "29Si", reference=330.0)) == 1
    assert ej.spectra.sites(oracle, "29Si", reference=330.0).efg is None
    assert ej.spectra.sites([oracle, oracle], "17O", shift=0.0, indices=[1]).labels == ("0:O1", "1:O1")


@pytest.mark.parametrize(
    ("spoil", "options", "says"),
    [
        (None, {}, "no reference was given for 17O"),
        (None, {"reference": 1.0, "shift": 0.0}, "both"),
        (None, {"reference": float("nan")}, "no meaning"),
        (None, {"isotope": "27Al", "shift": 0.0}, "no Al atoms"),
        (None, {"indices": [2], "shift": 0.0}, "among the chosen indices"),
        (None, {"indices": [7], "shift": 0.0}, "has no atom 7"),
        ("no efg", {"shift": 0.0}, "no 'efg' tensors"),
        ("no ms", {"reference": 1.0}, "no 'ms' tensors"),
        ("no ms", {}, "there is no shielding"),
        ("nan", {"shift": 0.0}, r"atom 1 \(O\).*NaN"),
        ("trace", {"shift": 0.0}, "the trace of 'efg'"),
        ("empty", {"shift": 0.0}, "no structures"),
    ],
)
def test_sites_refuse(molecule, spoil, options, says):
    atoms = molecule.copy()
    if spoil in ("no efg", "no ms"):
        del atoms.arrays[spoil[3:]]
    if spoil == "nan":
        atoms.arrays["efg"][1] = np.nan
    if spoil == "trace":
        atoms.arrays["efg"][0] += 10 * np.eye(3)
    with pytest.raises(InputError, match=says):
        ej.spectra.sites([] if spoil == "empty" else atoms, **{"isotope": "17O", **options})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"field": 0.0}, "0 T"),
        ({"field": -9.4}, "-9.4 T"),
        ({"field": 600.0}, "not MHz"),
        ({"spinning": -1.0}, "-1 Hz"),
        ({"spinning": 0.5, "transitions": "all"}, "too slow"),
        ({"order": 3}, "order = 3"),
        ({"isotope": "14N", "transitions": "central"}, "no central transition"),
        ({"broadening": "wide"}, "not understood"),
        ({"broadening": -1.0}, "0 or more"),
        ({"width": 0.0}, "spectral width"),
        ({"points": 1}, "1 points"),
        ({"isotope": None}, "isotope="),
    ],
)
def test_spectra_refuse(molecule, options, says):
    atoms = molecule.copy()
    if options.get("isotope") == "14N":
        atoms.symbols[:2] = "N"
    with pytest.raises(InputError, match=says):
        ej.spectra.spectrum(atoms, **{"isotope": "17O", "field": 9.4, "shift": 0.0, **options})
