"""δ_QIS against the exact levels of a spin in a field."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax.errors import InputError
from efg_jax.tensors import quadrupolar_induced_shift
from efg_jax.tensors.powder import field_directions


def spin_operators(spin):
    """I_x, I_y, I_z as matrices, m = I..−I."""
    m = np.arange(spin, -spin - 1, -1)
    raising = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return (raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m)


def centre_of_gravity(c_q, eta, larmor, spin, fields=None):
    """Mean over a powder of the exact central transition of ν_L n·I + C_Q/(4I(2I−1)) (3I_z² − I(I+1) + η(I_x² −
    I_y²)), ppm from ν_L.
    """
    i_x, i_y, i_z = spin_operators(spin)
    quadrupolar = (
        c_q
        / (4 * spin * (2 * spin - 1))
        * (3 * i_z @ i_z - spin * (spin + 1) * np.eye(len(i_z)) + eta * (i_x @ i_x - i_y @ i_y))
    )
    directions, weights = (field_directions(2000), None) if fields is None else fields
    field = np.einsum("nk,kab->nab", directions, np.stack([i_x, i_y, i_z]))
    levels = np.linalg.eigvalsh(larmor * field + quadrupolar)
    half = len(i_z) // 2  # levels ascend with m
    return np.average(levels[:, half] - levels[:, half - 1] - larmor, weights=weights) / larmor * 1e6


@pytest.mark.parametrize(("spin", "eta"), [(1.5, 0.0), (2.5, 0.3), (3.5, 1.0)])
def test_it_is_where_the_centre_of_gravity_of_the_exact_levels_lies(spin, eta):
    c_q, larmor = 1e6, 100e6
    expected = centre_of_gravity(c_q, eta, larmor, spin)
    p_q = jnp.asarray(c_q * np.sqrt(1 + eta**2 / 3))
    # What is left are fourth order and the powder's 2000 directions.
    np.testing.assert_allclose(quadrupolar_induced_shift(p_q, larmor, spin), expected, rtol=3e-3)
    np.testing.assert_allclose(
        quadrupolar_induced_shift(-p_q, -larmor, spin), quadrupolar_induced_shift(p_q, larmor, spin)
    )


def quadrature(count=24):
    """Directions and weights that integrate polynomials of high degree over the sphere exactly."""
    height, weights = np.polynomial.legendre.leggauss(count)
    angle = 2 * np.pi * np.arange(2 * count) / (2 * count)
    radius = np.sqrt(1 - height**2)[:, None]
    z = np.repeat(height[:, None], 2 * count, axis=1)
    directions = np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=-1)
    return directions.reshape(-1, 3), np.repeat(weights, 2 * count)


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("spin", [1.5, 2.5, 3.5, 4.5])
def test_the_fourth_order_is_what_the_second_leaves_out(spin, eta, caplog):
    """At ν_Q/ν_L of 0.05 and 0.1: all but one part in some hundred, which is the sixth order."""
    larmor = 100e6
    left = []
    for ratio in (0.05, 0.1):
        p_q = ratio * larmor * 2 * spin * (2 * spin - 1) / 3
        exact = centre_of_gravity(p_q / np.sqrt(1 + eta**2 / 3), eta, larmor, spin, quadrature())
        second, both = (float(quadrupolar_induced_shift(jnp.asarray(p_q), larmor, spin, order)) for order in (2, 4))
        assert_allclose(both - second, exact - second, rtol=20 * ratio**2)
        left.append(exact - both)
    assert_allclose(left[1] / left[0], 64.0, rtol=0.15)
    assert "third is zero" in caplog.text


@pytest.mark.parametrize("spin", [0.5, 1, 3.0])
def test_only_a_central_transition_is_shifted(spin):
    with pytest.raises(InputError, match="central transition"):
        quadrupolar_induced_shift(jnp.asarray(1e6), 1e8, spin)
