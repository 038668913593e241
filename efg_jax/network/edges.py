"""Who hears whom, how far away, and in which direction."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from efg_jax.descriptors.harmonics import solid_harmonics
from efg_jax.structures.environments import Environments

COINCIDENT = 1e-6  # Å²: atoms in one place have no direction to each other


class Edges(eqx.Module):
    """Pairs of neighbours in rows, one or several an atom. Those of padding lie at the cutoff, where no message is heard."""

    centre: Int[Array, " rows"]  # the atom that hears
    neighbour: Int[Array, "rows neighbours"]  # those that it hears
    distance: Float[Array, "rows neighbours"]  # Å
    harmonics: list[Float[Array, "rows neighbours _"]]  # of the direction; the squares of an order sum to 2l+1

    @classmethod
    def of(cls, environments: Environments, lmax: int, cutoff: float) -> "Edges":
        """From environments in which every atom is a centre.

        Args:
            environments: as `structures.environments` makes them where no centres are named, or those `in_rows`.
            lmax: highest order of the harmonics.
            cutoff: Å; what lies beyond counts as padding.
        """
        displacement = environments.displacements()
        squared = jnp.sum(displacement**2, axis=-1)
        real = jnp.asarray(environments.mask) & (squared > COINCIDENT) & (squared < cutoff**2)
        # In two steps, so that no derivative passes through a square root at zero.
        distance = jnp.sqrt(jnp.where(real, squared, cutoff**2))
        direction = jnp.where(real[..., None], displacement, 0.0) / distance[..., None]
        harmonics = [(4.0 * jnp.pi) ** 0.5 * y for y in solid_harmonics(direction, lmax)]
        return cls(jnp.asarray(environments.centre), jnp.asarray(environments.neighbour), distance, harmonics)
