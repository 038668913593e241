"""Pure quadrupole resonance against closed formulas and numpy; eigenvalues of Hermitian matrices against LAPACK."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax.errors import InputError
from efg_jax.tensors import coupling_factor, isotope, nqr_labels, nqr_lines, principal_values
from efg_jax.tensors.hermitian import eigh_hermitian

NUCLEI = {1.0: "14N", 1.5: "35Cl", 2.5: "127I", 3.0: "10B", 4.5: "209Bi"}
LINES = jax.jit(nqr_lines, static_argnums=1)


def gradient(nucleus, c_q, eta, seed=0):
    """A field gradient along random axes."""
    values = principal_values(jnp.asarray(c_q / coupling_factor(nucleus)), jnp.asarray(eta))
    axes = Rotation.random(random_state=seed).as_matrix()
    return jnp.asarray(axes @ np.diag(values) @ axes.T)


def found(name, c_q, eta, seed=0):
    nucleus = isotope(name)
    lines = LINES(gradient(nucleus, c_q, eta, seed), nucleus)
    return dict(zip(nqr_labels(nucleus.spin), np.asarray(lines.frequency), strict=True)), lines


@pytest.mark.parametrize("c_q", [3e6, -3e6])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_spins_with_closed_formulas(c_q, eta):
    """I = 1: ¾C_Q(1 ± η/3) and ½ηC_Q; I = 3/2: ½C_Q√(1 + η²/3); I = 5/2: the roots of x³ − 7(3 + η²)x − 20(1 − η²) of
    C_Q/20 (Das and Hahn, 1958).
    """
    size = abs(c_q)
    one, _ = found("14N", c_q, eta)
    assert_allclose(one["0–1−"], 0.75 * size * (1 - eta / 3), rtol=1e-12)
    assert_allclose(one["0–1+"], 0.75 * size * (1 + eta / 3), rtol=1e-12)
    assert_allclose(one["1−–1+"], 0.5 * size * eta, rtol=1e-12, atol=1e-6)
    chlorine, _ = found("35Cl", c_q, eta)
    assert_allclose(chlorine["1/2–3/2"], 0.5 * size * np.sqrt(1 + eta**2 / 3), rtol=1e-12)
    iodine, _ = found("127I", c_q, eta)
    levels = size / 20 * np.sort(np.roots([1.0, 0.0, -7 * (3 + eta**2), -20 * (1 - eta**2)]).real)
    low, middle, high = levels
    assert_allclose(
        [iodine["1/2–3/2"], iodine["3/2–5/2"], iodine["1/2–5/2"]], [middle - low, high - middle, high - low], rtol=1e-10
    )


@pytest.mark.parametrize("name", ["35Cl", "127I", "209Bi"])
def test_an_axial_site_has_multiples_of_one_frequency(name):
    """ν_Q, 2ν_Q, ... with ν_Q = 3C_Q/(2I(2I − 1)), and no other lines."""
    spin, c_q = isotope(name).spin, 40e6
    frequencies, lines = found(name, c_q, 0.0)
    adjacent = np.array([frequencies[f"{2 * k - 1}/2–{2 * k + 1}/2"] for k in range(1, round(spin + 0.5))])
    assert_allclose(adjacent, 3 * c_q / (2 * spin * (2 * spin - 1)) * np.arange(1, spin + 0.5), rtol=1e-12)
    assert (np.asarray(lines.intensity) > 1e-12).sum() == round(spin - 0.5)


def oracle(spin, c_q, eta):
    """Frequencies and squared moments of all pairs of states, by LAPACK and in the principal axes."""
    m = np.arange(-spin, spin + 1)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[:-1] * m[1:]), -1)
    x, y, z = (up + up.T) / 2, (up - up.T) / 2j, np.diag(m)
    h = c_q / (4 * spin * (2 * spin - 1)) * (3 * z @ z - spin * (spin + 1) * np.eye(len(m)) + eta * (x @ x - y @ y))
    energies, states = np.linalg.eigh(h)
    moments = sum(np.abs(states.conj().T @ i @ states) ** 2 for i in (x, y, z))
    return np.abs(energies[:, None] - energies[None]), moments


@pytest.mark.parametrize("spin", NUCLEI)
def test_frequencies_and_intensities_are_those_of_the_hamiltonian(spin):
    c_q, eta = -7e6, 0.37
    nucleus = isotope(NUCLEI[spin])
    assert nucleus.spin == spin
    frequency, intensity = map(np.asarray, LINES(gradient(nucleus, c_q, eta, 1), nucleus))
    gaps, moments = oracle(spin, c_q, eta)
    apart = np.triu(gaps > 1e-2)  # Hz: the states of a doublet are one level
    # The same lines and strengths, as moments of the spectrum: no names, and no degeneracies to tell apart.
    share = 2 * moments[apart] / (spin * (spin + 1) * (2 * spin + 1))
    count = 4 if spin != round(spin) else 1  # pairs of states of two doublets
    assert count * len(frequency) == apart.sum()
    assert_allclose(np.sort(np.repeat(frequency, count)), np.sort(gaps[apart]), rtol=1e-10)
    for power in (0, 1, 2, 3):
        assert_allclose((intensity * frequency**power).sum(), (share * gaps[apart] ** power).sum(), rtol=1e-10)


def test_frequencies_follow_the_tensor():
    """Same in all orientations; gradients are those of differences, at η = 0 as well."""
    nucleus = isotope("127I")
    gradients = jax.jit(jax.jacrev(lambda v: nqr_lines(v, nucleus).frequency))
    step = np.random.default_rng(0).normal(size=(3, 3))
    step = 1e-4 * (step + step.T)
    for eta in (0.0, 0.4):
        at = gradient(nucleus, 300e6, eta)
        turned = gradient(nucleus, 300e6, eta, 5)
        assert_allclose(LINES(at, nucleus).frequency, LINES(turned, nucleus).frequency, rtol=1e-11)
        above, below = (np.asarray(LINES(at + sign * step, nucleus).frequency) for sign in (1, -1))
        assert_allclose(np.asarray(gradients(at)).reshape(3, 9) @ step.ravel(), (above - below) / 2, rtol=1e-5)


def test_nothing_quadrupolar_has_no_resonance():
    with pytest.raises(InputError, match="no quadrupole"):
        nqr_lines(jnp.eye(3), "29Si")
    assert_allclose(LINES(jnp.zeros((3, 3)), isotope("35Cl")).frequency, 0.0)


@pytest.mark.parametrize("size", [3, 6, 10])
def test_eigenvalues_are_those_of_lapack(size):
    """Full, nearly diagonal, and degenerate matrices; real ones, too."""
    generator = np.random.default_rng(size)
    full = generator.normal(size=(50, size, size)) + 1j * generator.normal(size=(50, size, size))
    full[10:20] = np.diag(np.arange(size)) + 1e-6 * full[10:20]
    full[20:30, 0] = full[20:30, :, 0] = 0.0
    full[30:40] = np.eye(size) + np.einsum("ni,nj->nij", full[30:40, 0], full[30:40, 0].conj())
    full[40:] = full[40:].real
    full = full + full.conj().swapaxes(1, 2)
    values, vectors = (np.asarray(found) for found in eigh_hermitian(jnp.asarray(full)))
    assert_allclose(values, np.linalg.eigvalsh(full), atol=1e-12)
    assert_allclose(vectors.conj().swapaxes(1, 2) @ vectors, np.tile(np.eye(size), (50, 1, 1)), atol=1e-12)
    assert_allclose(vectors * values[:, None] @ vectors.conj().swapaxes(1, 2), full, atol=1e-12)
    assert_allclose(eigh_hermitian(jnp.asarray(full[40].real))[0], np.linalg.eigvalsh(full[40].real), atol=1e-12)


def test_derivatives_of_eigenvalues():
    """Of levels, and of what does not depend on the choice within a degenerate level: against differences."""
    generator = np.random.default_rng(0)
    step = generator.normal(size=(5, 5)) + 1j * generator.normal(size=(5, 5))
    step = step + step.conj().T
    observed = generator.normal(size=(5, 5))
    observed = observed + observed.T
    axes = np.linalg.qr(generator.normal(size=(5, 5)) + 1j * generator.normal(size=(5, 5)))[0]
    degenerate = axes @ np.diag([0.0, 1.0, 1.0, 2.0, 3.5]) @ axes.conj().T

    @jax.jit
    def functions(t):
        values, vectors = eigh_hermitian(jnp.asarray(degenerate) + t * jnp.asarray(step))
        inside = vectors[:, 1:3]
        weight = jnp.sum(jnp.abs(inside.conj().T @ observed.astype(complex) @ vectors[:, :1]) ** 2)
        return jnp.stack([values[0], values[1] + values[2], values[3], weight])

    slope = jax.jacfwd(functions)(0.0)
    assert_allclose(slope, (functions(1e-5) - functions(-1e-5)) / 2e-5, rtol=1e-6)
    assert_allclose(jax.grad(lambda t: functions(t)[3])(0.0), slope[3], rtol=1e-10)
