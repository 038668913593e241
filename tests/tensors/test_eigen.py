import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tensor_testing import any_tensors, axial_tensor, difference, efg_tensors, random_axes, random_efgs

from efg_jax.tensors import eigh3

# Every degeneracy that a tensor can have, along the axes and askew.
DEGENERATE = {
    "zero": np.zeros((3, 3)),
    "isotropic": 7.0 * np.eye(3),
    "axial along z": np.diag([-1.0, -1.0, 2.0]),
    "axial along x, negative": np.diag([-2.0, 1.0, 1.0]),
    "axial, askew": axial_tensor(3.0, random_axes(1)[0]),
    "axial, tiny": 1e-12 * axial_tensor(3.0, random_axes(1, seed=4)[0]),
}


def v_zz(tensor):
    values, _ = eigh3(tensor)
    return jnp.where(-values[0] > values[2], values[0], values[2])


@given(any_tensors(), st.sampled_from(["float32", "float64"]))
def test_eigenvalues_ascend_and_eigenvectors_diagonalise(tensor, name):
    dtype = jnp.dtype(name)
    symmetric = (tensor + tensor.T) / 2
    values, vectors = eigh3(jnp.asarray(tensor, dtype=dtype))
    assert values.dtype == vectors.dtype == dtype
    tolerance = 30 * float(jnp.finfo(dtype).eps)
    scale = np.abs(tensor).max() + 1e-300
    assert_allclose(values, np.linalg.eigvalsh(symmetric), rtol=0, atol=tolerance * scale)
    values, vectors = np.asarray(values, dtype=float), np.asarray(vectors, dtype=float)
    assert np.all(np.diff(values) >= 0)
    assert_allclose(vectors @ np.diag(values) @ vectors.T, symmetric, rtol=0, atol=tolerance * scale)
    assert_allclose(vectors.T @ vectors, np.eye(3), rtol=0, atol=tolerance)


def test_gradients_equal_central_differences():
    tensor = random_efgs(1, seed=5)[0]

    def values(t):
        return eigh3(t)[0]

    def projectors(t):
        vectors = eigh3(t)[1]
        return jnp.einsum("ik,jk->kij", vectors, vectors)

    for function in (values, projectors):
        expected = difference(jax.jit(function), tensor)
        for derivative in (jax.jacfwd, jax.jacrev):
            assert_allclose(jax.jit(derivative(function))(jnp.asarray(tensor)), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("derivative", [jax.jacrev, jax.hessian], ids=["gradient", "hessian"])
def test_all_derivatives_are_finite_at_degeneracy(derivative, dtype):
    def everything(tensor):
        values, vectors = eigh3(tensor)
        return jnp.concatenate([values, vectors.ravel()])

    tensors = jnp.asarray(np.stack(list(DEGENERATE.values())), dtype=dtype)
    results = jax.jit(jax.vmap(derivative(everything)))(tensors)
    assert results.dtype == dtype
    for name, result in zip(DEGENERATE, results, strict=True):
        assert bool(jnp.all(jnp.isfinite(result))), name


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_hessian_of_v_zz_is_exact_at_zero_asymmetry(sign):
    """Second-order perturbation theory: d²V_zz = 2 Σ_j |z·dV·e_j|²/(V_zz − V_jj), and here V_zz − V_jj = 3/2 V_zz."""
    axes = random_axes(1, seed=6)[0]
    tensor = axial_tensor(sign * 2.0, axes)
    rng = np.random.default_rng(7)
    hessian = np.asarray(jax.jit(jax.hessian(v_zz))(jnp.asarray(tensor)))
    for _ in range(5):
        change = rng.normal(size=(3, 3))
        change = change + change.T
        coupling = axes[:, :2].T @ change @ axes[:, 2]
        exact = 2 * coupling @ coupling / (1.5 * sign * 2.0)
        assert_allclose(np.einsum("ij,ijkl,kl", change, hessian, change), exact, rtol=1e-11)
    assert_allclose(hessian, difference(jax.jit(jax.grad(v_zz)), tensor), rtol=0, atol=1e-8)


def mixture(tensor):
    """A function of all eigenvalues and, by their squared components, all eigenvectors."""
    values, vectors = eigh3(tensor)
    return values @ jnp.asarray([0.3, -1.0, 2.0]) + jnp.sum(jnp.sin(vectors**2))


mixture_gradient, mixture_hessian = jax.jit(jax.grad(mixture)), jax.jit(jax.hessian(mixture))


@given(efg_tensors(minimum_gap=0.1))
def test_hessian_equals_difference_of_gradients(tensor):
    tensor = tensor / np.abs(tensor).max()
    expected = difference(mixture_gradient, tensor, step=3e-4)
    assert_allclose(mixture_hessian(jnp.asarray(tensor)), expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_symmetric_functions_have_exact_gradients_at_degeneracy():
    """Σ w³ = Tr V³ and Π w = det V, whatever the eigenvectors of a degenerate pair are."""
    tensor = jnp.asarray(DEGENERATE["axial, askew"])
    cube = jax.jit(jax.grad(lambda t: jnp.sum(eigh3(t)[0] ** 3)))(tensor)
    assert_allclose(cube, 3 * tensor @ tensor, atol=1e-12)
    determinant = jax.jit(jax.grad(lambda t: jnp.prod(eigh3(t)[0])))(tensor)
    assert_allclose(determinant, np.linalg.det(tensor) * np.linalg.inv(tensor), atol=1e-12)


def test_the_axis_of_an_axial_tensor_follows_a_perturbation():
    axes = random_axes(1, seed=8)[0]
    tensor = axial_tensor(2.0, axes)

    def projector(t):
        axis = eigh3(t)[1][:, 2]
        return jnp.outer(axis, axis)

    found = jax.jit(jax.jacfwd(projector))(jnp.asarray(tensor))
    assert_allclose(found, difference(jax.jit(projector), tensor), rtol=0, atol=1e-9)


def test_vmap_and_leading_axes_agree_under_differentiation():
    tensors = jnp.asarray(random_efgs(6).reshape(2, 3, 3, 3))

    def total(t):
        values = eigh3(t)[0]
        return jnp.sum(values[..., 0] ** 2 + 2.0 * values[..., 1] * values[..., 2])

    together, one_by_one = jax.jit(jax.grad(total)), jax.jit(jax.vmap(jax.vmap(jax.grad(total))))
    assert_allclose(together(tensors), one_by_one(tensors), atol=1e-13)
