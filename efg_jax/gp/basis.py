"""The training environments of one species: what a kernel model compares new environments with."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.structures.environments import Environments, Neighbours, environments

Features = dict[Irrep, Float[Array | np.ndarray, "centres _ _"]]
"""λ-SOAP features by irrep, (centres, components, features)."""


class Basis(eqx.Module):
    """Training environments of one species and their features.

    Model files keep only the environments: features follow from them, and are ten times larger.
    """

    environments: Environments | None  # None: a primal model, which needs none
    rows: Int[np.ndarray, " centres"]  # the target to which each centre contributes
    features: Features | None = None

    @classmethod
    def empty(cls) -> "Basis":
        """No environments, of a primal model."""
        return cls(None, np.zeros(0, dtype=int))

    @property
    def size(self) -> int:
        """Number of environments."""
        return len(self.rows)

    @property
    def invariants(self) -> Float[Array | np.ndarray, "centres features"]:
        """λ = 0 features."""
        return self.features[INVARIANT][:, 0]

    def with_features(self, descriptor: LambdaSOAP, irreps: Sequence[Irrep]) -> "Basis":
        """The same with the features of these irreps and of λ = 0."""
        if self.environments is None:
            return self
        wanted = tuple(dict.fromkeys((INVARIANT, *irreps)))
        features = featurise(descriptor, self.environments, wanted)
        return replace(self, features={irrep: np.asarray(p)[: self.size] for irrep, p in features.items()})


@eqx.filter_jit
def featurise(descriptor: LambdaSOAP, environments: Environments | Neighbours, irreps: tuple[Irrep, ...]) -> Features:
    """Compiled `LambdaSOAP.__call__`."""
    return descriptor(environments, irreps)


def gather(
    structures: Sequence[Atoms], descriptor: LambdaSOAP, centres: Sequence[Int[np.ndarray, " _"]]
) -> Environments:
    """Padded environments of these centres, up to the descriptor's cutoff."""
    return environments(structures, float(descriptor.cutoff), descriptor.species, centres)
