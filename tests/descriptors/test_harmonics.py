"""Harmonics and coupling coefficients against scipy's complex harmonics, integrals over the sphere, and rotations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from scipy.special import sph_harm_y
from strategies import rotations

from efg_jax.descriptors.harmonics import solid_harmonics
from efg_jax.tensors.coupling import real_clebsch_gordan
from efg_jax.tensors.rotation import wigner_d

LMAX = 8
compiled = jax.jit(solid_harmonics, static_argnums=1)
wigner = jax.jit(wigner_d, static_argnums=1)
VECTORS = np.random.default_rng(0).normal(size=(40, 3))


def real_harmonics(l: int, vectors: np.ndarray) -> np.ndarray:
    """Orthonormal real harmonics m = −l..l without the Condon–Shortley phase, from scipy's complex ones."""
    x, y, z = vectors.T
    theta, phi = np.arccos(z / np.linalg.norm(vectors, axis=1)), np.arctan2(y, x)
    columns = []
    for m in range(-l, l + 1):
        value = (-1) ** m * sph_harm_y(l, abs(m), theta, phi)
        columns.append(value.real if m == 0 else np.sqrt(2) * (value.real if m > 0 else value.imag))
    return np.stack(columns, axis=-1)


def sphere(lmax: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights that integrate polynomials up to that degree exactly."""
    z, weights = np.polynomial.legendre.leggauss(lmax // 2 + 1)
    phi = 2 * np.pi * np.arange(lmax + 1) / (lmax + 1)
    rho = np.sqrt(1 - z**2)[:, None]
    nodes = np.stack([rho * np.cos(phi), rho * np.sin(phi), np.broadcast_to(z[:, None], (len(z), len(phi)))], axis=-1)
    return nodes.reshape(-1, 3), np.repeat(weights, len(phi)) * 2 * np.pi / len(phi)


def test_solid_harmonics_are_scipys():
    radius = np.linalg.norm(VECTORS, axis=1)[:, None]
    for l, values in enumerate(compiled(jnp.asarray(VECTORS), LMAX)):
        expected = radius**l * real_harmonics(l, VECTORS)
        assert_allclose(values, expected, rtol=0, atol=1e-13 * np.abs(expected).max())


def test_on_the_poles_and_at_the_centre():
    vectors = np.array([[0, 0, 1.0], [0, 0, -2.0], [0, 0, 0]])
    for l, values in enumerate(compiled(jnp.asarray(vectors), LMAX)):
        expected = np.zeros((3, 2 * l + 1))
        scale = np.sqrt((2 * l + 1) / (4 * np.pi))
        expected[:, l] = scale * np.array([1.0, (-2.0) ** l, float(l == 0)])
        assert_allclose(values, expected, atol=1e-12)


def test_derivatives_at_the_centre_are_finite():
    for jacobian in jax.jit(jax.jacfwd(lambda r: solid_harmonics(r, 5)))(jnp.zeros(3)):
        assert np.isfinite(jacobian).all()


def test_solid_harmonics_are_harmonic():
    hessians = jax.jit(jax.jacfwd(jax.jacfwd(lambda r: solid_harmonics(r, 5))))(jnp.asarray(VECTORS[0]))
    for hessian in hessians:
        laplacian = np.trace(hessian, axis1=-2, axis2=-1)
        assert_allclose(laplacian, 0.0, atol=1e-12 * max(1.0, np.abs(hessian).max()))


def test_float32_harmonics_are_close():
    single = compiled(jnp.asarray(VECTORS, dtype=jnp.float32), LMAX)
    double = compiled(jnp.asarray(VECTORS), LMAX)
    for a, b in zip(single, double, strict=True):
        assert a.dtype == jnp.float32
        assert_allclose(a, b, rtol=0, atol=3e-6 * np.abs(b).max())


TRIPLES = [(a, b, c) for a in range(5) for b in range(5) for c in range(abs(a - b), min(a + b, 4) + 1)]


@pytest.mark.parametrize("order", range(5))
def test_couplings_are_orthonormal(order):
    for l1, l2, _ in [t for t in TRIPLES if t[2] == order]:
        c = real_clebsch_gordan(l1, l2, order)
        assert_allclose(np.einsum("uab,vab->uv", c, c), np.eye(2 * order + 1), atol=1e-13)


@settings(max_examples=3)
@given(rotations())
def test_couplings_turn_as_their_order(rotation):
    d = [np.asarray(wigner(jnp.asarray(rotation), l)) for l in range(5)]
    for l1, l2, order in TRIPLES:
        c = real_clebsch_gordan(l1, l2, order)
        turned = np.einsum("uab,ai,bj->uij", c, d[l1], d[l2])
        assert_allclose(turned, np.einsum("uv,vij->uij", d[order], c), atol=1e-12)


def test_even_couplings_are_integrals_of_three_harmonics():
    """∫ Y_λμ Y_lm Y_l'm' dΩ = C √((2l+1)(2l'+1)/(4π(2λ+1))) ⟨l0 l'0|λ0⟩ (Wigner–Eckart)."""
    nodes, weights = sphere(16)
    y = [real_harmonics(l, nodes) for l in range(5)]
    for l1, l2, order in TRIPLES:
        if (l1 + l2 + order) % 2 == 0:
            integral = np.einsum("q,qu,qa,qb->uab", weights, y[order], y[l1], y[l2])
            c = real_clebsch_gordan(l1, l2, order)
            ratio = np.vdot(c, integral) / np.vdot(c, c)
            assert_allclose(integral, ratio * c, atol=1e-13)
            zero = c[order, l1, l2]  # m = 0 of real and complex harmonics are the same
            assert_allclose(
                ratio, zero * np.sqrt((2 * l1 + 1) * (2 * l2 + 1) / (4 * np.pi * (2 * order + 1))), atol=1e-13
            )


def test_vectors_couple_to_their_products():
    a, b = VECTORS[:2]
    in_order = [1, 2, 0]  # y, z, x
    left, right = a[in_order], b[in_order]
    scalar = np.einsum("uab,a,b->u", real_clebsch_gordan(1, 1, 0), left, right)
    axial = np.einsum("uab,a,b->u", real_clebsch_gordan(1, 1, 1), left, right)
    tensor = np.einsum("uab,a,b->u", real_clebsch_gordan(1, 1, 2), left, right)
    assert_allclose(np.abs(scalar), np.abs(a @ b) / np.sqrt(3), rtol=1e-13)
    assert_allclose(np.abs(axial), np.abs(np.cross(a, b)[in_order]) / np.sqrt(2), rtol=1e-13)
    symmetric = (np.outer(a, b) + np.outer(b, a)) / 2
    expected = [
        np.sqrt(2) * symmetric[0, 1],
        np.sqrt(2) * symmetric[1, 2],
        (2 * symmetric[2, 2] - symmetric[0, 0] - symmetric[1, 1]) / np.sqrt(6),
        np.sqrt(2) * symmetric[0, 2],
        (symmetric[0, 0] - symmetric[1, 1]) / np.sqrt(2),
    ]
    assert_allclose(tensor, expected, rtol=1e-12)


def test_what_does_not_couple_is_an_error():
    with pytest.raises(ValueError, match="do not couple"):
        real_clebsch_gordan(1, 1, 3)
