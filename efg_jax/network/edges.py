"""Neighbour edges: indices, distances, harmonics."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from efg_jax.descriptors.harmonics import solid_harmonics
from efg_jax.structures.environments import Environments

COINCIDENT = 1e-6  # Å²: the direction between two atoms at one place is undefined


class Edges(eqx.Module):
    """Pairs of neighbours in rows, one row or several an atom. Padding has the distance of the cutoff: no messages."""

    centre: Int[Array, " rows"]  # the atom that receives messages
    neighbour: Int[Array, "rows neighbours"]  # the atoms that send them
    distance: Float[Array, "rows neighbours"]  # Å
    harmonics: list[Float[Array, "rows neighbours _"]]  # of the direction, by order; their squares sum to 2l+1

    @classmethod
    def of(cls, environments: Environments, lmax: int, cutoff: float) -> "Edges":
        """Edges of environments in which every atom is a centre.

        Args:
            environments: from `structures.environments` without centres, or from `in_rows`.
            lmax: highest order of the harmonics.
            cutoff: Å; pairs beyond it count as padding.
        """
        displacement = environments.displacements()
        squared = jnp.sum(displacement**2, axis=-1)
        real = jnp.asarray(environments.mask) & (squared > COINCIDENT) & (squared < cutoff**2)
        # In two steps, so that no derivative passes through a square root at zero.
        distance = jnp.sqrt(jnp.where(real, squared, cutoff**2))
        direction = jnp.where(real[..., None], displacement, 0.0) / distance[..., None]
        harmonics = [(4.0 * jnp.pi) ** 0.5 * y for y in solid_harmonics(direction, lmax)]
        return cls(jnp.asarray(environments.centre), jnp.asarray(environments.neighbour), distance, harmonics)
