import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tensor_testing import (
    ORACLE_EFG,
    ORACLE_SHIELDING,
    any_tensors,
    axial_tensor,
    efg_tensors,
    random_axes,
    random_efgs,
    rotations,
)
from tensors_compiled import orient, principal_axes, quaternion, quaternion_overlap

from efg_jax.errors import InputError

conventions = st.sampled_from(["nqr", "haeberlen"])


def test_oracle_tensor_has_the_eigenvalues_of_soprano():
    assert_allclose(
        principal_axes(jnp.asarray(ORACLE_EFG)).values, [-0.08014975, -0.29842477, 0.37857453], rtol=0, atol=5.1e-9
    )
    assert_allclose(
        principal_axes(jnp.asarray(ORACLE_SHIELDING), "haeberlen").values,
        [28.96061, 60.05124, 120.98815],
        rtol=0,
        atol=5.1e-6,
    )


@pytest.mark.parametrize(("convention", "order"), [("nqr", "n"), ("haeberlen", "h")])
def test_order_is_that_of_soprano(convention, order):
    soprano_tensor = pytest.importorskip("soprano.nmr.tensor")
    for efg in random_efgs(20, seed=1):
        expected = soprano_tensor.NMRTensor(efg, order=order)
        found = principal_axes(jnp.asarray(efg), convention)
        assert_allclose(found.values, expected.eigenvalues, rtol=0, atol=1e-13)
        assert_allclose(np.abs(np.sum(found.axes * expected.eigenvectors, axis=0)), 1.0, rtol=1e-12)


@given(any_tensors(), conventions, st.sampled_from(["float32", "float64"]))
def test_values_are_ordered_and_axes_are_a_right_handed_frame_of_the_tensor(tensor, convention, name):
    dtype = jnp.dtype(name)
    tolerance = 60 * float(jnp.finfo(dtype).eps)
    scale = np.abs(tensor).max() + 1e-300
    found = principal_axes(jnp.asarray(tensor, dtype=dtype), convention)
    assert found.values.dtype == found.axes.dtype == dtype
    values, axes = np.asarray(found.values, dtype=float), np.asarray(found.axes, dtype=float)
    xx, yy, zz = np.abs(values if convention == "nqr" else values - values.mean())
    slack = tolerance * scale
    if convention == "nqr":
        assert zz >= yy - slack
        assert yy >= xx - slack
    else:
        assert zz >= xx - slack
        assert xx >= yy - slack
    assert_allclose(np.linalg.det(axes), 1.0, rtol=tolerance)
    assert_allclose(axes.T @ axes, np.eye(3), rtol=0, atol=tolerance)
    assert_allclose(found.tensor(), (tensor + tensor.T) / 2, rtol=0, atol=tolerance * scale)


@given(efg_tensors(minimum_gap=0.01), rotations(), conventions)
def test_turning_the_tensor_turns_the_axes_and_leaves_the_values(tensor, rotation, convention):
    before = principal_axes(jnp.asarray(tensor), convention)
    after = principal_axes(jnp.asarray(rotation @ tensor @ rotation.T), convention)
    assert_allclose(after.values, before.values, rtol=1e-12)
    turned = quaternion(jnp.asarray(rotation) @ before.axes)
    assert_allclose(quaternion_overlap(turned, quaternion(after.axes)), 1.0, rtol=1e-12)


@given(efg_tensors(minimum_gap=0.01))
def test_signs_do_not_depend_on_those_of_the_eigenvectors(tensor):
    axes = principal_axes(jnp.asarray(tensor)).axes
    for signs in ([1, -1, 1], [-1, -1, -1], [-1, 1, -1]):
        assert_allclose(orient(axes * jnp.asarray([signs], dtype=float)), axes, rtol=0, atol=0)
    z, y = axes[:, 2], axes[:, 1]
    for axis in (z, y):
        last = [component for component in axis.tolist() if abs(component) > 1e-13][-1]
        assert last > 0


def test_axes_of_a_diagonal_tensor_are_the_cartesian_ones():
    values = jnp.asarray([0.2, 0.8, -1.0])
    found = principal_axes(jnp.diag(values))
    assert found.values.tolist() == values.tolist()
    assert found.axes.tolist() == np.eye(3).tolist()


def test_signs_survive_rounding_for_axes_in_the_plane():
    """z lies in the xy plane up to rounding: its z component must not decide."""
    rng = np.random.default_rng(2)
    axes = np.array([[0.0, 0.6, 0.8], [0.0, -0.8, 0.6], [1.0, 0.0, 0.0]])
    tensor = axes @ np.diag([0.2, 0.8, -1.0]) @ axes.T
    reference = principal_axes(jnp.asarray(tensor)).axes
    for _ in range(20):
        noisy = tensor + 1e-15 * rng.normal(size=(3, 3))
        assert_allclose(principal_axes(jnp.asarray(noisy)).axes, reference, atol=1e-13)


def test_haeberlen_order_of_a_traceless_tensor_is_nqr_order_turned_by_90_degrees_about_z():
    for efg in random_efgs(10, seed=3):
        nqr, haeberlen = (principal_axes(jnp.asarray(efg), convention) for convention in ("nqr", "haeberlen"))
        assert_allclose(haeberlen.values, nqr.values[jnp.array([1, 0, 2])], atol=1e-14)
        relative = np.asarray(nqr.axes.T @ haeberlen.axes)
        assert_allclose(np.abs(relative), [[0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)


def test_equal_magnitudes_of_opposite_sign_make_the_positive_one_zz():
    assert principal_axes(jnp.diag(jnp.asarray([1.0, 0.0, -1.0]))).values.tolist() == [0.0, -1.0, 1.0]
    assert principal_axes(jnp.diag(jnp.asarray([-1.0, 0.0, 1.0]))).values.tolist() == [0.0, -1.0, 1.0]


def test_a_small_anisotropy_survives_a_large_mean_in_float32():
    axes = random_axes(1)[0]
    tensor = jnp.asarray(axes @ np.diag([-1.0, -0.5, 1.5]) @ axes.T, dtype=jnp.float32)
    heavy = tensor + 8192.0 * jnp.eye(3, dtype=jnp.float32)
    exact = np.linalg.eigvalsh(np.asarray(heavy, dtype=float)) - 8192.0
    found = principal_axes(heavy, "haeberlen").values - 8192.0
    # one rounding of 8192 in float32
    assert_allclose(np.sort(found), exact, rtol=0, atol=1e-3)


@pytest.mark.parametrize("convention", ["nqr", "haeberlen"])
@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((3, 3)),
        np.eye(3),
        np.diag([-1.0, -1.0, 2.0]),
        np.diag([0.0, -1.0, 1.0]),
        axial_tensor(-2.0, random_axes(1)[0]),
    ],
    ids=["zero", "isotropic", "axial", "flat", "axial, askew"],
)
def test_gradients_are_finite_everywhere(tensor, convention, dtype):
    def total(t):
        values, axes = principal_axes(t, convention)
        return jnp.sum(values**2) + jnp.sum(jnp.sin(axes))

    gradient = jax.jit(jax.grad(total))(jnp.asarray(tensor, dtype=dtype))
    assert gradient.dtype == dtype
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_result_is_a_pytree_with_the_batch_in_front():
    found = jax.jit(jax.vmap(principal_axes))(jnp.asarray(random_efgs(6).reshape(2, 3, 3, 3)))
    assert found.values.shape == (2, 3, 3)
    assert found.axes.shape == (2, 3, 3, 3)
    assert found.zz.shape == (2, 3)
    assert_allclose(found.z_axis, found.axes[..., :, 2])


def test_unknown_convention_is_refused():
    with pytest.raises(InputError, match="unknown axis convention 'mehring'; use one of nqr, haeberlen"):
        principal_axes(jnp.eye(3), "mehring")
