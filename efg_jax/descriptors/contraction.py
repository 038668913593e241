"""Fewer density channels: a start for `LambdaSOAP.contraction` from the densities of the training environments."""

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
    """The descriptor with its (species, n) channels contracted to those, for each l, that carry most of the density's variance.

    The optimal radial basis of Goscinski et al. 2021 (J. Chem. Phys. 155, 104106), with all species in one basis: the leading eigenvectors of
    Σ_i Σ_m c_{q l m} c_{q' l m} over environments i. A search by gradient then moves the matrix further.

    Args:
        descriptor: with species, without a contraction.
        structures: whose environments (of all atoms) are looked at.
        channels: number that is kept for each l.
        limit: at most this many environments, evenly spread, are looked at.

    Raises:
        InputError: more channels than there are, or the descriptor has no species yet.
    """
    if descriptor.species is None:
        raise InputError("the descriptor has no species yet; use with_species(...) first")
    available = len(descriptor.species) * descriptor.nmax
    if not 1 <= channels <= available:
        raise InputError(f"cannot contract {available} channels to {channels}; give a number from 1 to {available}")
    descriptor = replace(settled(descriptor), contraction=None)
    with x64():
        batch = environments(structures, float(descriptor.cutoff), descriptor.species, _spread(structures, limit))
        spectra = np.asarray(_covariances(descriptor, batch.neighbours()))
    vectors = np.linalg.eigh(spectra)[1][:, :, ::-1][:, :, :channels]
    # An eigenvector's sign is arbitrary: fixed, so that the same data give the same matrix.
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None, :], axis=1)
    return replace(descriptor, contraction=np.swapaxes(vectors * np.sign(largest), 1, 2))


def _spread(structures: Sequence[Atoms], limit: int) -> list[np.ndarray]:
    """Every n-th atom, counted through all structures."""
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
