import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from scipy.special import sph_harm_y
from tensor_testing import any_tensors, random_efgs, random_tensors

from efg_jax.errors import InputError
from efg_jax.tensors import decompose, spherical_to_vector, to_cartesian, to_spherical, vector_to_spherical


def test_order_two_has_the_signs_and_order_of_tensoap_and_featomic(dtype, eps):
    efg = random_efgs(1)[0]
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = efg
    expected = [2**0.5 * xy, 2**0.5 * yz, (2 * zz - xx - yy) / 6**0.5, 2**0.5 * xz, (xx - yy) / 2**0.5]
    components = to_spherical(jnp.asarray(efg, dtype=dtype), 2)
    assert components.dtype == dtype
    assert_allclose(components, expected, rtol=0, atol=20 * eps)


def test_outer_product_of_two_vectors_couples_as_dot_and_cross_product():
    u, w = np.random.default_rng(1).normal(size=(2, 3))
    parts = decompose(jnp.asarray(np.outer(u, w)))
    assert_allclose(parts[0], [u @ w / 3**0.5], rtol=1e-14)
    assert_allclose(spherical_to_vector(parts[1]), np.cross(u, w) / 2**0.5, rtol=1e-13)


def test_order_two_of_a_direction_is_proportional_to_the_spherical_harmonics_of_scipy():
    direction = np.random.default_rng(2).normal(size=3)
    direction /= np.linalg.norm(direction)
    theta, phi = np.arccos(direction[2]), np.arctan2(direction[1], direction[0])
    harmonics = [2**0.5 * (-1) ** m * sph_harm_y(2, m, theta, phi).imag for m in (2, 1)]
    harmonics += [sph_harm_y(2, 0, theta, phi).real]
    harmonics += [2**0.5 * (-1) ** m * sph_harm_y(2, m, theta, phi).real for m in (1, 2)]
    components = to_spherical(jnp.asarray(np.outer(direction, direction)), 2)
    assert_allclose(components, np.array(harmonics) * np.sqrt(2 / 3 * 4 * np.pi / 5), rtol=1e-12)


@given(any_tensors())
def test_parts_rebuild_the_tensor_and_share_its_norm(tensor):
    parts = decompose(jnp.asarray(tensor))
    scale = np.linalg.norm(tensor) + 1e-300
    assert_allclose(to_cartesian(parts), tensor, rtol=0, atol=1e-14 * scale)
    assert_allclose(sum(float(jnp.sum(part**2)) for part in parts.values()), scale**2, rtol=1e-13, atol=1e-30)


@pytest.mark.parametrize(
    ("order", "part"),
    [
        (0, lambda t: np.eye(3) * np.trace(t) / 3),
        (1, lambda t: (t - t.T) / 2),
        (2, lambda t: (t + t.T) / 2 - np.eye(3) * np.trace(t) / 3),
    ],
)
def test_orders_that_are_missing_count_as_zero(order, part):
    tensor = random_tensors(1)[0]
    assert_allclose(to_cartesian({order: to_spherical(jnp.asarray(tensor), order)}), part(tensor), atol=1e-15)


def test_leading_axes_and_vmap_agree(dtype, eps):
    tensors = jnp.asarray(random_tensors(6).reshape(2, 3, 3, 3), dtype=dtype)
    parts = decompose(tensors, orders=(0, 2))
    assert {order: part.shape for order, part in parts.items()} == {0: (2, 3, 1), 2: (2, 3, 5)}
    one_by_one = jax.jit(jax.vmap(jax.vmap(lambda t: to_cartesian(decompose(t, orders=(0, 2))))))(tensors)
    assert one_by_one.dtype == dtype
    assert_allclose(to_cartesian(parts), one_by_one, atol=10 * eps)


def test_vectors_are_order_one_in_the_order_y_z_x():
    vector = jnp.asarray([1.0, 2.0, 3.0])
    assert vector_to_spherical(vector).tolist() == [2.0, 3.0, 1.0]
    assert spherical_to_vector(vector_to_spherical(vector)).tolist() == vector.tolist()


def test_orders_that_no_rank_two_tensor_has_are_refused():
    with pytest.raises(InputError, match="order 0, 1 and 2, not 3"):
        to_spherical(jnp.eye(3), 3)
    with pytest.raises(InputError, match="order 2 has 5 components, but the array's last axis is 3 long"):
        to_cartesian({2: jnp.zeros(3)})
    with pytest.raises(InputError, match="at least one order"):
        to_cartesian({})
