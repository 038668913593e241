"""The inducing environments of a sparse model."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.gp.basis import Basis, featurise, gather
from efg_jax.gp.labelled import Labelled
from efg_jax.gp.representatives import select_environments
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import chunk_size, stream

logger = logging.getLogger(__name__)

CANDIDATES = 20  # times the number of inducing environments: of more, so many are drawn to choose among


@dataclass(frozen=True)
class Columns:
    """What a sparse model is made of.

    Attributes:
        inducing: number of inducing environments of each species; None: the columns are the features (primal, ζ = 1).
        selection: how they are chosen.
        zeta: ζ of the kernel.
    """

    inducing: int | None
    selection: str
    zeta: float


def inducing_environments(
    found: Labelled, descriptor: LambdaSOAP, columns: Columns, irreps: tuple[Irrep, ...], checkpoint: Checkpoint
) -> dict[str, Basis]:
    """Inducing environments of each species with features for these irreps; their rows count through all species.

    The bases of a primal model are empty.
    """
    bases, first = {}, 0
    for symbol in found.centres:
        if columns.inducing is None:
            bases[symbol] = Basis(None, np.zeros(0, dtype=int))
            continue
        kept = checkpoint.load(f"inducing-{symbol}")
        if not kept:
            kept = {"chosen": _choose(found, symbol, descriptor, columns)}
            checkpoint.save(f"inducing-{symbol}", kept)
        structures, centres = _with_centres(found, symbol, kept["chosen"])
        basis = Basis(gather(structures, descriptor, centres), first + np.arange(len(kept["chosen"])))
        bases[symbol] = basis.with_features(descriptor, irreps)
        first += basis.size
    return bases


def consecutive(sizes: Sequence[int] | Int[np.ndarray, " items"], largest: int) -> Iterator[list[int]]:
    """Consecutive items whose sizes add up to ``largest`` at most, at least one at a time."""
    some, filled = [], 0
    for item, size in enumerate(sizes):
        if some and filled + size > largest:
            yield some
            some, filled = [], 0
        some.append(item)
        filled += size
    if some:
        yield some


def _choose(found: Labelled, symbol: str, descriptor: LambdaSOAP, columns: Columns) -> Int[np.ndarray, " chosen"]:
    """Numbers of the inducing environments among all of a species, ascending."""
    total = sum(map(len, found.centres[symbol]))
    candidates = np.arange(total)
    if total > CANDIDATES * columns.inducing:
        generator = np.random.Generator(np.random.PCG64(0))
        candidates = np.sort(generator.choice(total, CANDIDATES * columns.inducing, replace=False))
        logger.info("%s: inducing environments are chosen among %d of %d", symbol, len(candidates), total)
    logger.info("%s: describing %d environments to choose from", symbol, len(candidates))
    invariants = _invariants(*_with_centres(found, symbol, candidates), symbol, descriptor)
    logger.info("%s: choosing %d inducing environments", symbol, columns.inducing)
    chosen = select_environments(invariants, columns.inducing, columns.selection, columns.zeta)
    if len(chosen) < min(columns.inducing, len(candidates)):
        logger.warning("%s: only %d environments differ; they are all taken", symbol, len(chosen))
    return np.sort(candidates[chosen])


def _invariants(
    structures: list[Atoms], centres: list[np.ndarray], symbol: str, descriptor: LambdaSOAP
) -> Float[np.ndarray, "environments features"]:
    """λ = 0 features of these centres, structure by structure."""

    def evaluate(_: str, neighbours: Neighbours):
        return {"invariants": featurise(descriptor, neighbours, (INVARIANT,))[INVARIANT][:, 0]}

    streamed = stream(
        structures,
        lambda number, _: {symbol: centres[number]},
        evaluate,
        float(descriptor.cutoff),
        descriptor.species,
        chunk_size("auto"),
    )
    return np.concatenate([one.values["invariants"][centres[one.number]] for one in streamed])


def _with_centres(found: Labelled, symbol: str, numbers: np.ndarray) -> tuple[list[Atoms], list[np.ndarray]]:
    """The structures that have these centres of a species (numbered through all structures), and the atoms that they are."""
    owner = np.repeat(np.arange(len(found.structures)), [len(index) for index in found.centres[symbol]])[numbers]
    atoms = np.concatenate(found.centres[symbol])[numbers]
    used = np.unique(owner)
    return [found.structures[i] for i in used], [atoms[owner == i] for i in used]
