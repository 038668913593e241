import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from tensor_testing import ORACLE_EFG, difference, efg_tensors, random_axes, random_efgs, rotations
from tensors_compiled import (
    equivalent_euler_angles,
    euler_angles,
    euler_from_rotation,
    principal_axes,
    rotation_from_euler,
)

from efg_jax.tensors import rotate_cartesian, swap_sense

PASSIVE_SET = [
    [41.2426, 77.7271, 272.7924],
    [221.2426, 77.7271, 272.7924],
    [138.7574, 102.2729, 92.7924],
    [318.7574, 102.2729, 92.7924],
]
senses = st.booleans()


def assert_same_angles(found, expected, atol):
    """Equal up to whole turns."""
    assert_allclose(np.exp(1j * np.asarray(found)), np.exp(1j * np.asarray(expected)), rtol=0, atol=atol)


def test_oracle_angles(dtype, eps):
    axes = principal_axes(jnp.asarray(ORACLE_EFG, dtype=dtype)).axes
    active, passive = euler_angles(axes), euler_angles(axes, passive=True)
    assert active.dtype == passive.dtype == dtype
    tolerance = {"rtol": 10 * eps, "atol": 0.51e-4}
    assert_allclose(np.degrees(active), [267.2076, 77.7271, 138.7574], **tolerance)
    assert_allclose(np.degrees(passive), PASSIVE_SET[0], **tolerance)
    assert_allclose(np.degrees(equivalent_euler_angles(passive, passive=True)), PASSIVE_SET, **tolerance)


@given(rotations(), senses)
def test_angles_are_those_of_scipy(rotation, passive):
    """Upper case ZYZ is intrinsic: R = R_z(α) R_y(β) R_z(γ)."""
    angles = euler_from_rotation(jnp.asarray(rotation), passive=passive)
    turn = Rotation.from_euler("ZYZ", angles).as_matrix()
    assert_allclose(turn.T if passive else turn, rotation, rtol=0, atol=1e-14)
    assert_allclose(rotation_from_euler(angles, passive=passive), rotation, rtol=0, atol=1e-14)
    alpha, beta, gamma = angles.tolist()
    assert 0 <= alpha < 2 * np.pi
    assert 0 <= beta <= np.pi
    assert 0 <= gamma < 2 * np.pi


@pytest.mark.parametrize("tilt", [0.0, 1e-16, 1e-14, 1e-9, 1e-4])
@pytest.mark.parametrize("pole", [0.0, np.pi])
def test_gimbal_lock_loses_no_digits(tilt, pole):
    rotation = Rotation.from_euler("ZYZ", [1.0, abs(pole - tilt), 2.0]).as_matrix()
    angles = euler_from_rotation(jnp.asarray(rotation))
    assert_allclose(rotation_from_euler(angles), rotation, rtol=0, atol=1e-14)
    if tilt == 0.0:
        # γ = 0: all of the turn about z is in α.
        assert_same_angles(angles, [3.0 if pole == 0.0 else -1.0, pole, 0.0], atol=1e-14)


@given(efg_tensors(minimum_gap=0.02), senses)
def test_every_equivalent_set_turns_the_principal_axis_system_into_the_lab_tensor(tensor, passive):
    found = principal_axes(jnp.asarray(tensor))
    angles = euler_angles(found.axes, passive=passive)
    sets = equivalent_euler_angles(angles, passive=passive)
    assert sets.shape == (4, 3)
    for one in sets:
        # Written with scipy and the definition: active R takes the PAS tensor to the lab, passive Rᵀ takes the lab
        # tensor to its PAS.
        turn = Rotation.from_euler("ZYZ", one).as_matrix()
        lab = turn.T @ np.diag(found.values) @ turn if passive else turn @ np.diag(found.values) @ turn.T
        assert_allclose(lab, tensor, rtol=0, atol=1e-13 * np.abs(tensor).max())
        if not passive:
            turned = rotate_cartesian(jnp.diag(found.values), rotation_from_euler(one))
            assert_allclose(turned, tensor, rtol=0, atol=1e-13 * np.abs(tensor).max())
    # They are four different frames, not one frame under four names.
    frames = np.stack([rotation_from_euler(one, passive=passive) for one in sets])
    assert_allclose(np.einsum("aij,bij->ab", frames, frames), 4 * np.eye(4) - 1, rtol=0, atol=1e-12)


@given(rotations())
def test_passive_angles_follow_from_active_ones_and_back(rotation):
    active = euler_from_rotation(jnp.asarray(rotation))
    passive = swap_sense(active)
    alpha, beta, gamma = active
    assert_same_angles(passive, [np.pi - gamma, beta, np.pi - alpha], atol=1e-14)
    assert_allclose(rotation_from_euler(passive, passive=True), rotation, rtol=0, atol=1e-14)
    assert_same_angles(swap_sense(passive), active, atol=1e-14)


def test_soprano_agrees_on_random_tensors():
    soprano_tensor = pytest.importorskip("soprano.nmr.tensor")
    for efg in random_efgs(10, seed=21):
        peer = soprano_tensor.NMRTensor(efg, order="n")
        axes = principal_axes(jnp.asarray(efg)).axes
        for passive in (False, True):
            angles = euler_angles(axes, passive=passive)
            assert_same_angles(angles, peer.euler_angles(passive=passive), atol=1e-9)
            equivalents = equivalent_euler_angles(angles, passive=passive)
            assert_same_angles(equivalents, peer.equivalent_euler_angles(passive=passive), atol=1e-9)


def test_castep_ethanol_angles_cross_checked_with_tensorview(external):
    from ase.io import read

    expected = np.loadtxt(external("soprano_ethanol_efg_eulers.dat"))
    ethanol = read(external("soprano_ethanol.magres"), format="magres")
    angles = np.degrees(euler_angles(principal_axes(jnp.asarray(ethanol.arrays["efg"])).axes))
    # 1e-6 degrees: the tensors in the file have 8 to 10 digits, and three hydrogens are nearly axial.
    assert_allclose(angles, expected, rtol=0, atol=1e-6)


def test_nqr_to_haeberlen_order_turns_passive_alpha_by_90_degrees():
    for efg in random_efgs(10, seed=22):
        nqr, haeberlen = (
            euler_angles(principal_axes(jnp.asarray(efg), order).axes, passive=True) for order in ("nqr", "haeberlen")
        )
        turned = nqr + jnp.asarray([np.pi / 2, 0.0, 0.0])
        nearest = min(
            np.abs(np.exp(1j * np.asarray(one)) - np.exp(1j * np.asarray(haeberlen))).max()
            for one in equivalent_euler_angles(turned, passive=True)
        )
        assert nearest < 1e-12


def test_the_chosen_set_has_small_beta_and_gamma():
    for passive in (False, True):
        alpha, beta, gamma = np.moveaxis(
            np.asarray(euler_angles(jnp.asarray(random_axes(200)), passive=passive)), -1, 0
        )
        assert np.all(beta <= np.pi / 2)
        assert np.all((alpha if passive else gamma) <= np.pi)


def test_derivatives_equal_central_differences():
    angles = np.array([1.0, 0.7, 2.0])
    round_trip = jax.jit(jax.jacfwd(lambda a: euler_from_rotation(rotation_from_euler(a))))(jnp.asarray(angles))
    assert_allclose(round_trip, np.eye(3), rtol=0, atol=1e-14)
    expected = difference(jax.jit(rotation_from_euler), angles, step=1e-3)
    assert_allclose(jax.jit(jax.jacfwd(rotation_from_euler))(jnp.asarray(angles)), expected, rtol=0, atol=1e-10)


def test_derivatives_are_finite_in_gimbal_lock(dtype):
    gradient = jax.jit(jax.grad(lambda r: jnp.sum(euler_angles(r))))
    for diagonal in ([1, 1, 1], [1, -1, -1]):
        assert bool(jnp.all(jnp.isfinite(gradient(jnp.diag(jnp.asarray(diagonal, dtype=dtype))))))
