"""Powder averages: the frequency of every site for every direction of the field."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.efg import quadrupolar_frequency
from efg_jax.tensors.nuclei import Isotope


def field_directions(count: int) -> Float[np.ndarray, "count 3"]:
    """Unit vectors of equal weight spread evenly over a hemisphere (a Fibonacci lattice): ν_Q is the same for n and −n.

    Averages of ν_Q and ν_Q² over a powder are right to about 2/count.

    Raises:
        InputError: a count below 1.
    """
    if count < 1:
        raise InputError(f"{count} directions make no powder; give 1 or more")
    number = np.arange(count) + 0.5
    height = number / count
    angle = np.pi * (1.0 + np.sqrt(5.0)) * number
    radius = np.sqrt(1.0 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=-1)


def powder_frequencies(
    tensors: Float[Array | np.ndarray, "atoms 3 3"], isotope: Isotope | str, directions: int = 1000
) -> Float[Array, "atoms directions"]:
    """First-order quadrupolar frequencies ν_Q of every site for a field along every direction of a powder, Hz.

    Args:
        tensors: EFG, V/Å².
        isotope: gives Q and I.
        directions: number of them.
    """
    field = jnp.asarray(field_directions(directions))
    return jax.vmap(lambda direction: quadrupolar_frequency(jnp.asarray(tensors), direction, isotope), out_axes=1)(
        field
    )
