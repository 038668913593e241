"""The registry of quantities against plain NumPy, Soprano, finite differences, and everything that asks it."""

import warnings

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from scipy.constants import e, h
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax import sensitivity, spectra
from efg_jax.observables import values_and_gradients, values_of
from efg_jax.tensors import QUANTITIES, Context, Nuclei, describe, isotope
from efg_jax.trajectories import average

O17 = isotope("17O")
REFERENCE = 287.5
DIRECTION = np.array([0.48, -0.6, 0.64])
CONTEXT = Context(Nuclei.of([O17]), REFERENCE, DIRECTION)
RADIANS = ("alpha", "beta", "gamma", "theta", "phi")


def efgs(count, seed=0):
    v = np.random.default_rng(seed).normal(size=(count, 3, 3)) * 30
    v = v + v.swapaxes(1, 2)
    return v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)


def shieldings(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3, 3)) * 20 + 100 * np.eye(3)


def values(kind, name, context=CONTEXT, **tensors):
    return values_of([QUANTITIES[kind][name]], context, **tensors)[0]


def plain_efg(v):
    """C_Q and the like of one EFG, by NumPy's eigenvalues and the constants of the SI."""
    w = np.linalg.eigvalsh(v)
    x, y, z = w[np.argsort(np.abs(w))]
    hertz = e * -25.58e-31 * 1e20 / h
    eta, along = (x - y) / z, DIRECTION @ v @ DIRECTION / (DIRECTION @ DIRECTION)
    factor = 3 / (2 * 2.5 * 4)
    found = {"v_zz": z, "c_q": hertz * z, "p_q": hertz * z * np.sqrt(1 + eta**2 / 3), "eta": eta, "eta_squared": eta**2}
    found |= {"abs_v_zz": abs(z), "abs_c_q": abs(hertz * z), "splitting": factor * hertz * z}
    found["strength_squared"] = z**2 * (1 + eta**2 / 3)
    return found | {"v_nn": along, "nu_q": factor * hertz * along}


def plain_shielding(t, sense):
    """Conventions of one shielding or shift tensor by NumPy's eigenvalues."""
    w = np.linalg.eigvalsh((t + t.T) / 2)
    iso, part = w.mean(), "sigma" if sense == "shielding" else "delta"
    y, x, z = w[np.argsort(np.abs(w - iso))]
    sign = 1 if sense == "shielding" else -1
    found = {f"{part}_iso": iso, "zeta": z - iso, "anisotropy": z - (x + y) / 2, "eta": (y - x) / (z - iso)}
    found |= {"span": w[2] - w[0], "skew": sign * 3 * (iso - w[1]) / (w[2] - w[0])}
    return found | {f"{part}_{k}{k}": w[::sign][k - 1] for k in (1, 2, 3)}


def shifted(t):
    return (REFERENCE * np.eye(3) - t) / (1 - 1e-6 * REFERENCE)


@pytest.mark.parametrize("name", [name for name in QUANTITIES["efg"] if name not in RADIANS])
def test_an_efg_is_that_of_plain_numpy(name):
    tensors = efgs(20)
    assert_allclose(values("efg", name, efg=tensors), [plain_efg(v)[name] for v in tensors], rtol=1e-9)


@pytest.mark.parametrize("sense", ["shielding", "shift"])
def test_a_shielding_and_a_shift_are_those_of_plain_numpy(sense):
    tensors = shieldings(20)
    expected = [plain_shielding(t if sense == "shielding" else shifted(t), sense) for t in tensors]
    assert set(expected[0]) == set(QUANTITIES[sense]) - set(RADIANS)
    for name in expected[0]:
        wanted = [one[name] for one in expected]
        assert_allclose(values(sense, name, ms=tensors), wanted, rtol=1e-9, atol=1e-9, err_msg=name)


def test_angles_rebuild_the_axes():
    """R = R_z(α) R_y(β) R_z(γ) of each tensor, and of one in the other."""
    v, s = efgs(10), shieldings(10)

    def matrices(kind, **tensors):
        columns = values_of([QUANTITIES[kind][name] for name in ("alpha", "beta", "gamma")], CONTEXT, **tensors)
        return Rotation.from_euler("ZYZ", np.stack(columns, axis=1)).as_matrix()

    def is_diagonal(tensors):
        off = tensors[:, *np.triu_indices(3, 1)]
        assert_allclose(off, 0.0, atol=1e-9 * np.abs(tensors).max())

    efg, cs = matrices("efg", efg=v), matrices("shielding", ms=s)
    is_diagonal(efg.swapaxes(1, 2) @ v @ efg)
    is_diagonal(cs.swapaxes(1, 2) @ (s + s.swapaxes(1, 2)) @ cs)
    assert_allclose(matrices("shift", ms=s), cs, atol=1e-9)
    relative = matrices("relative", efg=v, ms=s)
    overlap = np.abs(np.einsum("nki,nkl,nlj->nij", efg, cs, relative.swapaxes(1, 2)))
    assert_allclose(overlap, np.broadcast_to(np.eye(3), overlap.shape), atol=1e-9)
    theta, phi = (values("efg", name, efg=v) for name in ("theta", "phi"))
    inside = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=1)
    assert_allclose(inside, np.abs(np.einsum("nki,k->ni", efg, DIRECTION)), atol=1e-9)


def test_soprano_agrees():
    tensor = pytest.importorskip("soprano.nmr.tensor")
    for v, s in zip(efgs(5, seed=3), shieldings(5, seed=3), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            efg = tensor.ElectricFieldGradient(v / 97.173624424, "17O")
            ms = tensor.MagneticShielding(s, "17O")
        theirs = {"c_q": efg.Cq, "eta": efg.asymmetry, "p_q": efg.Pq}
        for name, value in theirs.items():
            assert_allclose(values("efg", name, efg=v[None]), value, rtol=1e-6, err_msg=name)
        theirs = {"sigma_iso": ms.isotropy, "anisotropy": ms.anisotropy, "zeta": ms.reduced_anisotropy}
        theirs |= {"eta": ms.asymmetry, "span": ms.span, "skew": ms.skew}
        for name, value in theirs.items():
            assert_allclose(values("shielding", name, ms=s[None]), value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("tensor", ["efg", "ms"])
def test_gradients_are_finite_differences(tensor):
    known = sensitivity.differentiable(tensor)
    given = (efgs if tensor == "efg" else shieldings)(1, seed=2)[0]
    results, slopes = values_and_gradients([one.function for one in known.values()], CONTEXT, tensor, given[None])
    # Fourth-order differences of every element, all in one batch.
    step, weights = 1e-3, {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    moves = np.array([k * step * np.eye(9)[i].reshape(3, 3) for i in range(9) for k in weights])
    moved = values_of(list(known.values()), CONTEXT, **{tensor: given + moves})
    for name, result, slope, around in zip(known, results, slopes, moved, strict=True):
        expected = (around.reshape(9, 4) @ list(weights.values())).reshape(3, 3) / step
        if tensor == "efg":  # an EFG does not change along its trace
            expected = (expected + expected.T) / 2 - np.trace(expected) / 3 * np.eye(3)
        assert_allclose(slope[0], expected, atol=1e-7 * np.abs(expected).max(), err_msg=name)
        assert_allclose(
            result, values_of(list(known.values()), CONTEXT, **{tensor: given[None]})[list(known).index(name)]
        )


AXES = Rotation.random(random_state=0).as_matrix()
AXIAL, RHOMBIC = np.array([-1.0, -1.0, 2.0]), np.array([0.0, -1.0, 1.0])
AT = {
    "the EFG is zero": np.zeros(3), "η is 1": RHOMBIC, "η is 0": AXIAL, "is isotropic": np.full(3, 30.0),
    "coincide": AXIAL + 50,
}  # fmt: skip


@pytest.mark.parametrize(
    ("tensor", "name"), [("efg", "c_q"), ("efg", "eta"), ("ms", "anisotropy"), ("ms", "eta"), ("ms", "span")]
)
def test_kinks_are_where_the_derivative_jumps(tensor, name):
    """On every kink there is no derivative, and its distance is zero; the distance falls linearly on the way to it."""
    quantity = sensitivity.differentiable(tensor)[name]
    for kink in quantity.kinks:
        principal = next(there for words, there in AT.items() if words in kink.here)
        there = AXES @ np.diag(principal) @ AXES.T
        with pytest.raises(ej.InputError, match=quantity.symbol.replace("|", r"\|")):
            sensitivity.differentiate(tensor, name, there, CONTEXT)
        near = AXES @ np.diag(principal + np.array([-0.01, 0.003, 0.007])) @ AXES.T
        found = sensitivity.differentiate(tensor, name, near, CONTEXT)
        (distance,) = [one.distance for one in found.kinks if one.kink is kink]
        half = sensitivity.differentiate(tensor, name, (near + there) / 2, CONTEXT)
        (closer,) = [one.distance for one in half.kinks if one.kink is kink]
        assert 0 < distance < 0.05
        assert_allclose(closer / distance, 0.5, atol=0.02)
        if kink.instead in sensitivity.differentiable(tensor):
            assert np.isfinite(sensitivity.differentiate(tensor, kink.instead, there, CONTEXT).slope).all()


def test_units_and_meanings_are_there():
    described = describe()
    units = {"c_q": "Hz", "p_q": "Hz", "nu_q": "Hz", "v_zz": "V/Å²", "v_nn": "V/Å²", "eta": "", "theta": "rad"}
    assert {name: described["efg"][name]["unit"] for name in units} == units
    assert {name for name, one in described["shielding"].items() if one["unit"] == "ppm"} == {
        "sigma_iso", "anisotropy", "zeta", "span", "sigma_11", "sigma_22", "sigma_33",
    }  # fmt: skip
    shown = {name: (one.display_unit, one.display_factor) for name, one in QUANTITIES["efg"].items()}
    assert (shown["c_q"], shown["nu_q"], shown["v_zz"]) == (("MHz", 1e6), ("kHz", 1e3), ("V/Å²", 1.0))
    assert_allclose(shown["alpha"][1], np.pi / 180)
    for known in described.values():
        assert all(one["symbol"] and one["what"] for one in known.values())


def test_what_is_missing_is_said():
    tensor = efgs(1)[0]
    with pytest.raises(ej.InputError, match=r"C_Q needs a quadrupolar isotope.*v_zz"):
        sensitivity.differentiate("efg", "c_q", tensor, Context())
    with pytest.raises(ej.InputError, match="direction"):
        sensitivity.differentiate("efg", "nu_q", tensor, Context(Nuclei.of([O17])))
    with pytest.raises(ej.InputError, match="reference compound"):
        sensitivity.differentiate("ms", "delta_iso", shieldings(1)[0], Context())


def test_a_missing_tensor_or_nucleus_is_no_number():
    tensors = efgs(3)
    tensors[1] = np.nan
    found = values("efg", "c_q", Context(Nuclei.of([O17, O17, None])), efg=tensors)
    assert np.isfinite(found).tolist() == [True, False, False]


def test_tables_sensitivities_trajectories_and_spectra_agree():
    atoms = Atoms("O6", positions=np.arange(18).reshape(6, 3) * 3.0)
    atoms.arrays["efg"], atoms.arrays["ms"] = efgs(6), shieldings(6)
    table = ej.site_observables(atoms, reference=REFERENCE, convention="all", rotation="passive", efg_axes="haeberlen")
    bare = ej.site_observables(atoms, convention="maryland")
    sites = list(spectra.sites(atoms, "17O", reference=REFERENCE))
    of_efg = average([atoms], direction=DIRECTION).sites
    of_shielding = average([atoms], "ms").sites

    def same(first, second):
        assert_allclose(first, second, rtol=1e-12, atol=1e-12 * np.abs(second).max())

    def differentiated(tensor, name):
        return [sensitivity.differentiate(tensor, name, t, CONTEXT).value for t in atoms.arrays[tensor]]

    c_q, eta = table["c_q_mhz"] * 1e6, table["eta_q"]
    same([site.c_q for site in sites], c_q)
    same([site.eta_q for site in sites], eta)
    same([site.quantities["c_q"].value for site in of_efg], c_q)
    same([site.quantities["mean_c_q"].value for site in of_efg], c_q)
    same([site.quantities["eta"].value for site in of_efg], eta)
    same(differentiated("efg", "c_q"), c_q)
    same(differentiated("efg", "eta"), eta)
    same(differentiated("efg", "p_q"), table["p_q_mhz"] * 1e6)
    same(differentiated("efg", "nu_q"), [site.quantities["nu_q"].value for site in of_efg])
    same([site.shift for site in sites], table["iso_ppm"])
    same(differentiated("ms", "delta_iso"), table["iso_ppm"])
    same([-site.zeta for site in sites], table["reduced_anisotropy_ppm"])
    same([site.eta_csa for site in sites], table["eta_cs"])
    for k, angle in enumerate(("alpha", "beta", "gamma")):
        same([np.degrees(site.euler_q[k]) for site in sites], table[f"efg_{angle}_deg"])
        same([np.degrees(site.euler_csa[k]) for site in sites], table[f"cs_{angle}_deg"])
    for name in ("span", "skew"):
        column = bare["span_ppm" if name == "span" else "skew"]
        same([site.quantities[name].value for site in of_shielding], column)
        same(differentiated("ms", name), column)
    same([site.quantities["sigma_iso"].value for site in of_shielding], bare["iso_ppm"])
