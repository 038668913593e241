"""Fewer density channels: a starting point for `LambdaSOAP.contraction` from densities of training environments."""

from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors.lambda_soap import LambdaSOAP, settled
from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.structures.environments import Neighbours, environments


def principal_contraction(
    descriptor: LambdaSOAP, structures: Sequence[Atoms], channels: int, limit: int = 500
) -> LambdaSOAP:
    """Contract the (species, n) channels of a descriptor, for each l, to those with most of the density's variance.

    This is the optimal radial basis of Goscinski et al. 2021 (J. Chem. Phys. 155, 104106), all species in one basis:
    the leading eigenvectors of Σ_i Σ_m c_{q l m} c_{q' l m} over environments i. Gradients can improve it further.

    Args:
        descriptor: with species, without a contraction.
        structures: training structures, with all their atoms.
        channels: number of channels that are kept for each l.
        limit: number of environments, evenly spread, that are used at most.

    Returns:
        The descriptor with its contraction.

    Raises:
        InputError: there are fewer channels, or the descriptor has no species yet.
    """
    if descriptor.species is None:
        raise InputError("the descriptor has no species yet; use with_species(...) first")
    available = len(descriptor.species) * descriptor.nmax
    if not 1 <= channels <= available:
        raise InputError(f"channels must be from 1 to {available} for this descriptor, got {channels}")
    descriptor = replace(settled(descriptor), contraction=None)
    with x64():
        batch = environments(structures, float(descriptor.cutoff), descriptor.species, _spread(structures, limit))
        spectra = np.asarray(_covariances(descriptor, batch.neighbours()))
    vectors = np.linalg.eigh(spectra)[1][:, :, ::-1][:, :, :channels]
    # The sign of an eigenvector is arbitrary; it is fixed so that the same data give the same matrix.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None, :], axis=1)
    return replace(descriptor, contraction=np.swapaxes(vectors * np.sign(largest), 1, 2))


def _spread(structures: Sequence[Atoms], limit: int) -> list[np.ndarray]:
    """Every n-th atom of all structures."""
    total = sum(len(atoms) for atoms in structures)
    stride, first, chosen = max(1, -(-total // limit)), 0, []
    for atoms in structures:
        index = np.arange(len(atoms))
        chosen.append(index[(index + first) % stride == 0])
        first += len(atoms)
    return chosen


@jax.jit
def _covariances(descriptor: LambdaSOAP, neighbours: Neighbours) -> Float[Array, "orders channels channels"]:
    table = descriptor.radial_table()

    def one(total, own: Neighbours):
        density = descriptor.density(own.displacements, own.species, own.mask, own.centre_species, table)
        spectrum = jnp.stack([jnp.matmul(c, c.T, precision=lax.Precision.HIGHEST) for c in density])
        return total + jnp.where(own.centre_mask, spectrum, 0.0), None

    channels = len(descriptor.species) * descriptor.nmax
    start = jnp.zeros((descriptor.lmax + 1, channels, channels))
    return lax.scan(one, start, jax.tree.map(jnp.asarray, neighbours))[0]
