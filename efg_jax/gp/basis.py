"""The training environments of one species: what a kernel model compares new environments with."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import equinox as eqx
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.models.predicted import Choice
from efg_jax.structures.environments import Environments, Neighbours, environments
from efg_jax.structures.padding import bucket

Features = dict[Irrep, Float[Array | np.ndarray, "centres _ _"]]

# Centres that are predicted in one call: bounds the memory whatever the size of the structure.
CHUNK = 512


class Basis(eqx.Module):
    """Training environments of one species and their features.

    Only the environments are saved: features follow from them, and are ten times larger.
    """

    environments: Environments | None  # None: a primal model, which needs none
    rows: Int[np.ndarray, " centres"]  # the target that each centre contributes to
    features: Features | None = None

    @property
    def size(self) -> int:
        """Number of environments."""
        return len(self.rows)

    @property
    def invariants(self) -> Float[Array | np.ndarray, "centres features"]:
        """λ = 0 features."""
        return self.features[INVARIANT][:, 0]

    def with_features(self, descriptor: LambdaSOAP, irreps: Sequence[Irrep]) -> "Basis":
        """The same with features for these irreps (and λ = 0) computed."""
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
    """Padded environments of these centres, as far as the descriptor sees."""
    return environments(structures, float(descriptor.cutoff), descriptor.species, centres)


def environments_of(structures: Atoms | Sequence[Atoms], descriptor: LambdaSOAP, choose: Choice) -> Environments:
    """Environments of the chosen atoms, in the order of structures and atoms."""
    structures = [structures] if isinstance(structures, Atoms) else structures
    centres = [np.sort(np.concatenate(list(choose(i, atoms).values()))) for i, atoms in enumerate(structures)]
    return gather(structures, descriptor, centres)


def chunks(batch: Environments, count: int, largest: int = CHUNK) -> Iterator[Environments]:
    """Pieces of a batch of which ``count`` centres are real, in few different sizes; the last may be padded."""
    size = min(largest, bucket(count))
    per_centre = (
        "centre",
        "structure",
        "neighbour",
        "shift",
        "neighbour_species",
        "centre_species",
        "mask",
        "centre_mask",
    )
    for start in range(0, count, size):
        pieces = {}
        for name in per_centre:
            piece = getattr(batch, name)[start : start + size]
            pieces[name] = np.pad(piece, [(0, size - len(piece))] + [(0, 0)] * (piece.ndim - 1))
        yield replace(batch, **pieces)
