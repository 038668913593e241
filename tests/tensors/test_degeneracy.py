"""Tensors without a shape: what would be a ratio of rounding errors has a defined value, and is flagged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.errors import InputError
from efg_jax.metrics import Scale, euler_differences
from efg_jax.observables.arrays import flagged_values_of, values_and_gradients
from efg_jax.sensitivity.differentiation import differentiate
from efg_jax.tensors import QUANTITIES, Context, Nuclei, degeneracy, haeberlen, isotope, maryland
from efg_jax.tensors.principal import CONTRIBUTIONS

DIRECTION = np.array([0.48, -0.6, 0.64])
ANGLES = ("alpha", "beta", "gamma")


def context(passive=False, axes="nqr"):
    return Context(Nuclei.of([isotope("17O")]), 280.0, DIRECTION, axes, passive)


def flagged(kind, names, passive=False, axes="nqr", **tensors):
    """Values and flags by name."""
    values, flags = flagged_values_of([QUANTITIES[kind][name] for name in names], context(passive, axes), **tensors)
    return dict(zip(names, values, strict=True)), dict(zip(names, flags, strict=True))


def turned(principal, seed, count=20):
    """Tensors of these principal values in random orientations, and the rotations."""
    rotations = Rotation.random(count, random_state=seed).as_matrix()
    return rotations @ np.diag(principal) @ rotations.swapaxes(1, 2), rotations


def noisy(iso, size, dtype, seed=0, count=200):
    """iso·1 with symmetric noise of this many roundings of it, in this precision."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (count, 3, 3)) * size * np.finfo(dtype).eps * abs(iso)
    return (iso * np.eye(3) + noise + noise.swapaxes(1, 2)).astype(dtype)


def euler(angles):
    return Rotation.from_euler("ZYZ", np.stack([angles[name] for name in ANGLES], axis=1)).as_matrix()


@pytest.mark.parametrize("size", [0.1, 3.0, 30.0, 1e4])
def test_skew_and_asymmetry_stay_in_their_bounds_whatever_the_rounding(dtype, size):
    """κ of 1.5 came out of a span of 1e-13 ppm."""
    tensors = jnp.asarray(noisy(433.8188, size, dtype))
    for sense in ("shielding", "shift"):
        skew = jax.jit(lambda t, sense=sense: maryland(t, sense=sense).skew)(tensors)
        assert bool((jnp.abs(skew) <= 1.0).all())
        assert bool((skew == 0.0).all()) == (size <= 3.0)
        barely = 433.8188 * (1.0 + np.array([[0, 0, 100], [-100, 0, 0], [0, 300, 300]]) * np.finfo(dtype).eps)
        barely = jnp.asarray(np.stack([np.diag(row) for row in barely]), dtype=dtype)
        assert_allclose(jnp.abs(maryland(barely, sense=sense).skew), 1.0, rtol=0.02)
        assert bool((jnp.abs(maryland(barely, sense=sense).skew) <= 1.0).all())
    eta = jax.jit(haeberlen)(tensors).eta
    assert bool(((eta >= 0.0) & (eta <= 1.0)).all())
    assert bool((eta == 0.0).all()) == (size <= 3.0)


@pytest.mark.parametrize("dtype_of_source", [np.float32, np.float64])
def test_flags_follow_the_precision_in_which_a_tensor_was_computed(dtype_of_source):
    """Noise of float32 is noise in an array of float64, too; the same numbers computed in float64 are an anisotropy."""
    names = ("eta", "skew", *ANGLES)
    single = noisy(100.0, 1.0, np.float32)
    tensors = single.astype(np.float64)
    if dtype_of_source is np.float64:
        tensors = tensors + 1e-11 * np.eye(3)
    values, flags = flagged("shielding", names, ms=tensors)
    several = np.ptp(np.linalg.eigvalsh(tensors), axis=1) > 0.0
    for name in names:
        assert flags[name][several].all() == (dtype_of_source is np.float32)
        assert not np.any(values[name][flags[name]])


def test_every_ratio_and_every_angle_knows_where_it_is_undefined():
    for kind, known in QUANTITIES.items():
        for name, one in known.items():
            assert (one.undefined is not None) == (one.unit in ("", "rad")), (kind, name)


@pytest.mark.parametrize("kind", ["efg", "shielding", "shift"])
def test_a_cubic_site_has_zeros_and_flags(kind):
    """Exact zeros, and rounding of what cancels at the site; the isotropic value, C_Q and Ω are numbers as ever."""
    own = (
        {} if kind == "efg" else {"ms": np.concatenate([np.tile(280.0 * np.eye(3), (1, 1, 1)), noisy(280.0, 3, float)])}
    )
    if kind == "efg":
        noise = noisy(CONTRIBUTIONS, 3, float) - CONTRIBUTIONS * np.eye(3)
        own["efg"] = np.concatenate(
            [np.zeros((1, 3, 3)), noise - np.trace(noise, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)]
        )
    values, flags = flagged(kind, tuple(QUANTITIES[kind]), **own)
    for name, one in QUANTITIES[kind].items():
        assert flags[name].all() == (one.undefined is not None), name
        if one.undefined is not None:
            assert not values[name].any(), name
    if kind != "efg":
        part = {"shielding": "sigma", "shift": "delta"}[kind]
        assert_allclose(values[f"{part}_iso"], 280.0 if kind == "shielding" else 0.0, atol=1e-11)


@pytest.mark.parametrize(("passive", "axes"), [(False, "nqr"), (True, "haeberlen")])
def test_axial_tensors_have_two_angles_that_rebuild_them(passive, axes):
    """The free one is 0 and flagged; with the axis along z all three are."""
    principal = np.array([-10.0, -10.0, 20.0])
    tensors, _ = turned(principal, seed=1)
    values, flags = flagged("efg", (*ANGLES, "eta", "phi", "theta"), passive, axes, efg=tensors)
    free, meant = ("alpha", "gamma") if passive else ("gamma", "alpha")
    assert flags[free].all()
    assert not any(flags[name].any() for name in (meant, "beta", "eta", "theta"))
    assert flags["phi"].all()
    assert not any(values[name].any() for name in (free, "phi"))
    matrix = euler(values) if not passive else euler(values).swapaxes(1, 2)
    assert_allclose(matrix @ np.diag(principal) @ matrix.swapaxes(1, 2), tensors, atol=1e-12)
    tilt = Rotation.from_rotvec([3e-16, 2e-16, 0.7]).as_matrix()
    upright = (tilt @ np.diag(principal) @ tilt.T)[None]
    values, flags = flagged("efg", ANGLES, passive, axes, efg=upright)
    assert [bool(flags[name][0]) for name in ANGLES] == [True, False, True]
    assert not any(values[name][0] for name in ANGLES)


@pytest.mark.parametrize("passive", [False, True])
@pytest.mark.parametrize("axial", ["first", "second", "both"])
def test_relative_angles_of_axial_tensors_are_unique_and_keep_the_mutual_invariants(axial, passive):
    """Tr Vσ, Tr V²σ and Tr Vσ² from the angles are those of the tensors; turning both changes no angle."""
    v = np.array([-10.0, -10.0, 20.0] if axial != "second" else [-5.0, -15.0, 20.0])
    s = np.array([-3.0, -3.0, 6.0] if axial != "first" else [-4.0, -2.0, 6.0])  # Haeberlen order
    efg, _ = turned(v, seed=2)
    ms, _ = turned(s, seed=3)
    values, flags = flagged("relative", ANGLES, passive, efg=efg, ms=ms + 50.0 * np.eye(3))
    undefined = {"first": {"alpha"}, "second": {"gamma"}, "both": {"alpha", "gamma"}}[axial]
    if passive:
        undefined = {{"alpha": "gamma", "gamma": "alpha"}[name] for name in undefined}
    for name in ANGLES:
        assert flags[name].all() == flags[name].any() == (name in undefined), name
    matrix = euler(values) if not passive else euler(values).swapaxes(1, 2)
    in_efg = matrix @ np.diag(s) @ matrix.swapaxes(1, 2)
    for left, right in ((1, 1), (2, 1), (1, 2)):
        found = np.trace(np.diag(v**left) @ np.linalg.matrix_power(in_efg, right), axis1=1, axis2=2)
        pairs = np.linalg.matrix_power(efg, left) @ np.linalg.matrix_power(ms, right)
        assert_allclose(found, np.trace(pairs, axis1=1, axis2=2), rtol=1e-9, atol=1e-9)
    turn = Rotation.random(random_state=4).as_matrix()
    again, _ = flagged("relative", ANGLES, passive, efg=turn @ efg @ turn.T, ms=turn @ ms @ turn.T + 50.0 * np.eye(3))
    for name in ANGLES:
        assert_allclose(again[name], values[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ["efg", "shielding"])
def test_derivatives_are_finite_where_quantities_are_undefined(kind):
    tensor = "efg" if kind == "efg" else "ms"
    cubic = np.zeros((1, 3, 3)) if kind == "efg" else 280.0 * np.eye(3)[None]
    axial, _ = turned(np.array([-10.0, -10.0, 20.0]), seed=5, count=3)
    upright = np.diag([-10.0, -10.0, 20.0])[None]
    tensors = np.concatenate([cubic, axial + cubic, upright + cubic, noisy(1e-13, 1.0, float, count=2) + cubic])
    known = {name: one.function for name, one in QUANTITIES[kind].items() if one.undefined is not None}
    found = values_and_gradients(list(known.values()), context(), tensor, tensors)
    for name, value, slope in zip(known, *found, strict=True):
        assert np.isfinite(value).all(), name
        assert np.isfinite(slope).all(), name


@pytest.mark.parametrize(("tensor", "name"), [("ms", "skew"), ("ms", "eta"), ("efg", "eta"), ("efg", "c_q")])
def test_a_derivative_of_a_ratio_of_rounding_errors_is_refused(tensor, name):
    value = noisy(280.0 if tensor == "ms" else 1e-13, 3, float, count=1)[0]
    with pytest.raises(InputError, match="is isotropic here" if tensor == "ms" else "is zero here"):
        differentiate(tensor, name, value, context())


def test_euler_differences_leave_out_the_angle_that_an_axial_reference_lacks():
    tensors, rotations = turned(np.array([-10.0, -10.0, 20.0]), seed=6)
    spun = rotations @ Rotation.from_euler("z", 0.4).as_matrix()  # the same tensors
    shape = degeneracy(jnp.tile(jnp.array([-10.0, -10.0, 20.0]), (len(tensors), 1)), jnp.full(len(tensors), 1e-12))
    away = euler_differences(jnp.asarray(rotations), jnp.asarray(spun), shape=shape)
    assert_allclose(away, 0.0, atol=1e-9)
    assert np.abs(euler_differences(jnp.asarray(rotations), jnp.asarray(spun))).max() > 0.1


def test_sites_that_differ_by_rounding_have_no_spread():
    """C̃_Q of equivalent sites would be a ratio of rounding errors."""
    equivalent, _ = turned(np.array([-5.0, -15.0, 20.0]), seed=7)
    for scale in (Scale.of_data(equivalent), Scale.from_tensors(jnp.asarray(equivalent))):
        assert_allclose(scale.mean, 20.0)
        assert scale.std == 0.0
    assert Scale.of_data(np.concatenate([equivalent, 1.001 * equivalent])).std > 0.0


def test_real_cubic_sites_of_rock_salt(external):
    """CASTEP's NaCl: spans of 1e-13 ppm gave κ of 1.4987, field gradients of 1e-14 atomic units η of 0.5."""
    atoms = ej.io.read(external("soprano_nacl.magres"))
    found = ej.site_observables(atoms, convention="all")
    for name in ("eta_q", "eta_cs", "skew", "efg_alpha_deg", "cs_beta_deg", "rel_gamma_deg"):
        assert found.undefined[name].all(), name
        assert not found[name].any(), name
    for site in ej.spectra.sites(atoms, "23Na", reference=500.0):
        assert (site.eta_q, site.eta_csa, site.euler_q, site.euler_csa) == (0.0, 0.0, (0.0,) * 3, (0.0,) * 3)
    assert set(found.undefined) == {
        name for name in found.columns if "_deg" in name or name in ("eta_q", "eta_cs", "skew")
    }
