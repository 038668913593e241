import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y
from tensor_testing import any_tensors, difference, random_axes, random_tensors, rotations

from efg_jax.errors import InputError
from efg_jax.tensors import random_rotation, rotate_cartesian, rotate_spherical, to_spherical, wigner_d

orders = st.integers(0, 8)
wigner_matrix = jax.jit(wigner_d, static_argnames="order")


def real_harmonics(order: int, points: np.ndarray) -> np.ndarray:
    """Real spherical harmonics without Condon–Shortley phase of unit vectors [n, 3], from scipy's complex ones."""
    theta, phi = np.arctan2(np.hypot(points[:, 0], points[:, 1]), points[:, 2]), np.arctan2(points[:, 1], points[:, 0])
    columns = []
    for m in range(-order, order + 1):
        complex_harmonic = (-1) ** abs(m) * sph_harm_y(order, abs(m), theta, phi)
        columns.append(
            sph_harm_y(order, 0, theta, phi).real
            if m == 0
            else 2**0.5 * (complex_harmonic.imag if m < 0 else complex_harmonic.real)
        )
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5, 8, 12])
def test_wigner_matrix_turns_the_spherical_harmonics_of_scipy(order, dtype, eps):
    rotation = random_axes(1, seed=order)[0]
    points = np.random.default_rng(order).normal(size=(50, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    matrix = wigner_matrix(jnp.asarray(rotation, dtype=dtype), order)
    assert matrix.dtype == dtype
    turned = real_harmonics(order, points) @ np.asarray(matrix, dtype=float).T
    assert_allclose(turned, real_harmonics(order, points @ rotation.T), rtol=0, atol=100 * eps)


@given(rotations(), rotations(), orders)
def test_wigner_matrices_are_an_orthogonal_representation(first, second, order):
    matrices = [np.asarray(wigner_matrix(jnp.asarray(r), order)) for r in (first, second, first @ second)]
    assert_allclose(matrices[2], matrices[0] @ matrices[1], rtol=0, atol=1e-13)
    assert_allclose(matrices[0] @ matrices[0].T, np.eye(2 * order + 1), rtol=0, atol=1e-13)
    assert_allclose(wigner_matrix(jnp.asarray(first.T), order), matrices[0].T, rtol=0, atol=1e-13)


def test_order_one_is_the_rotation_itself_in_the_order_y_z_x():
    rotation = random_axes(1)[0]
    assert_allclose(wigner_d(jnp.asarray(rotation), 1), rotation[np.ix_([1, 2, 0], [1, 2, 0])], atol=1e-15)


@given(any_tensors(), rotations())
def test_turning_before_or_after_taking_the_spherical_part_is_the_same(tensor, rotation):
    turned = rotate_cartesian(jnp.asarray(tensor), jnp.asarray(rotation))
    assert_allclose(turned, rotation @ tensor @ rotation.T, atol=1e-13 * (np.abs(tensor).max() + 1e-300))
    for order in (0, 1, 2):
        after = rotate_spherical(to_spherical(jnp.asarray(tensor), order), jnp.asarray(rotation), order)
        assert_allclose(to_spherical(turned, order), after, rtol=0, atol=1e-13 * (np.abs(tensor).max() + 1e-300))


def test_inversion_gives_harmonics_their_parity_and_leaves_tensors_alone():
    improper = -random_axes(1)[0]
    for order in range(6):
        expected = (-1) ** order * wigner_d(jnp.asarray(-improper), order)
        assert_allclose(wigner_d(jnp.asarray(improper), order), expected, atol=1e-14)
    tensor = jnp.asarray(random_tensors(1)[0])
    proper = jnp.asarray(np.linalg.det(improper) * improper)
    for order in (0, 1, 2):
        turned = to_spherical(rotate_cartesian(tensor, jnp.asarray(improper)), order)
        assert_allclose(turned, rotate_spherical(to_spherical(tensor, order), proper, order), atol=1e-14)


@pytest.mark.parametrize("start", ["identity", "half turn", "random"])
def test_wigner_matrix_is_differentiable_everywhere(start):
    vectors = {"identity": [1e-30, 0, 0], "half turn": [0, np.pi, 0], "random": [0.3, -1.0, 0.7]}
    rotation = Rotation.from_rotvec(vectors[start]).as_matrix()

    def matrix(r):
        return wigner_d(r, 4)

    derivative = jax.jit(jax.jacfwd(matrix))(jnp.asarray(rotation))
    assert_allclose(derivative, difference(jax.jit(matrix), rotation), rtol=0, atol=1e-9)


def test_derivative_at_the_identity_is_the_angular_momentum():
    """d/dα D^l(exp(α·G_z)) is antisymmetric and has eigenvalues i·m."""
    order, generator = 5, jnp.asarray([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    _, slope = jax.jvp(lambda r: wigner_d(r, order), (jnp.eye(3),), (generator,))
    assert_allclose(slope, -slope.T, atol=1e-13)
    assert_allclose(np.sort(np.linalg.eigvals(np.asarray(slope)).imag), np.arange(-order, order + 1), atol=1e-12)


def test_one_rotation_serves_a_batch(dtype, eps):
    rotation = jnp.asarray(random_axes(1)[0], dtype=dtype)
    tensors = jnp.asarray(random_tensors(4), dtype=dtype)
    components = to_spherical(tensors, 2)
    turned = rotate_spherical(components, rotation, 2)
    assert turned.dtype == rotate_cartesian(tensors, rotation).dtype == dtype
    assert_allclose(turned, to_spherical(rotate_cartesian(tensors, rotation), 2), atol=30 * eps)
    each = jax.jit(jax.vmap(rotate_spherical, in_axes=(0, None, None)), static_argnums=2)(components, rotation, 2)
    assert_allclose(turned, each, atol=10 * eps)


def test_random_rotations_are_proper_and_uniform(dtype, eps):
    rotations = jax.jit(jax.vmap(lambda key: random_rotation(key, dtype)))(jax.random.split(jax.random.key(3), 4000))
    assert rotations.dtype == dtype
    products = np.einsum("nij,nkj->nik", rotations, rotations)
    assert_allclose(products, np.broadcast_to(np.eye(3), (4000, 3, 3)), atol=10 * eps)
    assert_allclose(np.linalg.det(np.asarray(rotations, dtype=float)), 1.0, rtol=10 * eps)
    # Under Haar measure the matrix elements of D^1 and D^2 average to 0 with variance 1/(2l+1); five standard errors.
    for order in (1, 2):
        mean = np.mean(wigner_matrix(rotations, order), axis=0)
        assert np.abs(mean).max() < 5 / np.sqrt(4000 * (2 * order + 1))


def test_negative_order_is_refused():
    with pytest.raises(InputError, match="not -1"):
        wigner_d(jnp.eye(3), -1)
