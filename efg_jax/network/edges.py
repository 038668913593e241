"""Who hears whom, how far away, and in which direction."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from efg_jax.descriptors.harmonics import solid_harmonics
from efg_jax.structures import Environments

COINCIDENT = 1e-6  # Å²: an atom is not its own neighbour


class Edges(eqx.Module):
    """Pairs of neighbours, one row a centre. Those of padding lie at the cutoff, where no message is heard."""

    neighbour: Int[Array, "atoms neighbours"]  # row of the atom that is heard
    distance: Float[Array, "atoms neighbours"]  # Å
    harmonics: list[Float[Array, "atoms neighbours _"]]  # of the direction; the squares of an order sum to 2l+1

    @classmethod
    def of(cls, environments: Environments, lmax: int, cutoff: float) -> "Edges":
        """From environments in which every atom is a centre, in the order of the atoms.

        Args:
            environments: as `structures.environments` makes them where no centres are named.
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
        return cls(jnp.asarray(environments.neighbour), distance, harmonics)
