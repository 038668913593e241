"""Columns of a sparse regression: kernels with inducing environments, or the features of an environment themselves."""

from collections.abc import Mapping
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.descriptors.power_spectrum import power_spectrum
from efg_jax.gp.basis import Basis, Features
from efg_jax.gp.gram import Gram, gram_of
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.gp.nystrom import Whitening
from efg_jax.structures.environments import Neighbours

Columns = dict[Irrep, Float[Array, "_ _ _"]]
"""Columns by irrep, (rows, components, columns)."""


class Reference(eqx.Module):
    """What environments of one species are compared with.

    Attributes:
        features: of the inducing environments, with λ = 0; None: the columns are the features of an environment.
        zeta: ζ.
    """

    features: Features | None
    zeta: Float[Array | np.ndarray, ""]

    @classmethod
    def of(cls, basis: Basis, zeta: float | Float[Array | np.ndarray, ""]) -> "Reference":
        """Of the inducing environments of a species, on the device."""
        return cls(*jax.device_put((basis.features, np.asarray(zeta))))

    def columns(self, features: Features, irrep: Irrep) -> Float[Array, "centres components columns"]:
        """Columns of environments with these features (with λ = 0, unless the columns are the features)."""
        if self.features is None:
            return features[irrep]
        own = features[INVARIANT][:, 0], self.features[INVARIANT][:, 0]
        kernel = lambda_soap_kernel(features[irrep], self.features[irrep], *own, self.zeta)
        return kernel.reshape(*kernel.shape[:2], -1)

    def width(self, descriptor: LambdaSOAP, irrep: Irrep) -> int:
        """Number of columns."""
        if self.features is not None:
            return len(self.features[irrep]) * (2 * irrep[0] + 1)
        channels = len(descriptor.species) * descriptor.nmax
        if descriptor.contraction is not None:
            channels = descriptor.contraction.shape[1]
        density = [jax.ShapeDtypeStruct((channels, 2 * l + 1), float) for l in range(descriptor.lmax + 1)]
        return jax.eval_shape(lambda c: power_spectrum(c, *irrep), density).shape[1]


@eqx.filter_jit
def columns_of(
    reference: Reference, descriptor: LambdaSOAP, environments: Neighbours, irreps: tuple[Irrep, ...]
) -> Columns:
    """Columns of each environment; zero for padding."""
    wanted = irreps if reference.features is None else tuple(dict.fromkeys((INVARIANT, *irreps)))
    features = descriptor(environments, wanted)
    return {irrep: reference.columns(features, irrep) for irrep in irreps}


@partial(jax.jit, static_argnames="rows")
def summed_by_row(columns: Columns, row: Int[Array, " centres"], rows: int) -> Columns:
    """Columns summed over the environments of each row; a row number past the end is padding."""
    return {irrep: jax.ops.segment_sum(part, row, rows) for irrep, part in columns.items()}


@jax.jit
def gram_sums(
    spaces: Mapping[Irrep, Whitening | None],
    columns: Columns,
    targets: Mapping[Irrep, Float[Array | np.ndarray, "rows _"]],
    count: Float[Array, ""],
) -> dict[Irrep, Gram]:
    """Gram matrices by irrep.

    Args:
        spaces: make columns orthonormal in the prior; None: they are already.
        columns: zero for padding.
        targets: scaled; zero for padding.
        count: number of rows without padding.
    """
    sums = {}
    for irrep, part in columns.items():
        features = part.reshape(-1, part.shape[-1])
        if spaces[irrep] is not None:
            features = spaces[irrep].features(features)
        sums[irrep] = gram_of(features, targets[irrep].ravel(), count * part.shape[1])
    return sums


def atom_grams(
    reference: Reference,
    descriptor: LambdaSOAP,
    spaces: Mapping[Irrep, Whitening | None],
    batch: tuple[Neighbours, Mapping[Irrep, Float[Array | np.ndarray, "centres _"]]],
) -> dict[Irrep, Gram]:
    """Gram matrices where the environments themselves are the rows; pure, for `parallel.summed`.

    Args:
        reference, descriptor, spaces: as above.
        batch: environments, and the targets of each; zero for padding.
    """
    neighbours, targets = batch
    columns = columns_of(reference, descriptor, neighbours, tuple(spaces))
    count = jnp.sum(neighbours.centre_mask).astype(neighbours.displacements.dtype)
    return gram_sums(spaces, columns, targets, count)


@partial(jax.jit, donate_argnums=0)
def add(sums, new):
    """The sum of two trees of arrays, in the memory of the first."""
    return jax.tree.map(jnp.add, sums, new)
