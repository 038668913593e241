"""δ_QIS against the exact levels of a spin in a field."""

import jax.numpy as jnp
import numpy as np
import pytest

from efg_jax.errors import InputError
from efg_jax.tensors import quadrupolar_induced_shift
from efg_jax.tensors.powder import field_directions


def spin_operators(spin):
    """I_x, I_y, I_z as matrices, m = I..−I."""
    m = np.arange(spin, -spin - 1, -1)
    raising = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return (raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m)


def centre_of_gravity(c_q, eta, larmor, spin, directions=2000):
    """Mean over a powder of the exact central transition of ν_L n·I + C_Q/(4I(2I−1)) (3I_z² − I(I+1) + η(I_x² −
    I_y²)), ppm from ν_L.
    """
    i_x, i_y, i_z = spin_operators(spin)
    quadrupolar = (
        c_q
        / (4 * spin * (2 * spin - 1))
        * (3 * i_z @ i_z - spin * (spin + 1) * np.eye(len(i_z)) + eta * (i_x @ i_x - i_y @ i_y))
    )
    field = np.einsum("nk,kab->nab", field_directions(directions), np.stack([i_x, i_y, i_z]))
    levels = np.linalg.eigvalsh(larmor * field + quadrupolar)
    half = len(i_z) // 2  # levels ascend with m
    return np.mean(levels[:, half] - levels[:, half - 1] - larmor) / larmor * 1e6


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


@pytest.mark.parametrize("spin", [0.5, 1, 3.0])
def test_only_a_central_transition_is_shifted(spin):
    with pytest.raises(InputError, match="central transition"):
        quadrupolar_induced_shift(jnp.asarray(1e6), 1e8, spin)
