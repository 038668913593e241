"""The inducing environments of a sparse model."""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.gp.basis import Basis, featurise, gather
from efg_jax.gp.environment_selection import select_environments
from efg_jax.gp.labelled_structures import LabelledStructures
from efg_jax.parallel import from_first
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import chunk_size, stream

logger = logging.getLogger(__name__)

# Environments to choose among, as a multiple of the number wanted; of more, this many are drawn at random.
_CANDIDATES = 20


class SparseOptions(NamedTuple):
    """What a sparse model is made of.

    Attributes:
        inducing: number of inducing environments of each species; None: the columns are the features (primal, ζ = 1).
        selection: how they are chosen (`select_environments`).
        zeta: ζ of the kernel.
    """

    inducing: int | None
    selection: str
    zeta: float


def inducing_environments(
    found: LabelledStructures, descriptor: LambdaSOAP, chosen: Mapping[str, Int[np.ndarray, " chosen"]]
) -> dict[str, Basis]:
    """The chosen environments of each species, with features; their rows are numbered through all species.

    A species without choice, of a primal model, has an empty basis.
    """
    bases, first = {}, 0
    for symbol in found.centres:
        if symbol not in chosen:
            bases[symbol] = Basis.empty()
            continue
        structures, centres = _with_centres(found, symbol, chosen[symbol])
        basis = Basis(gather(structures, descriptor, centres), first + np.arange(len(chosen[symbol])))
        bases[symbol] = basis.with_features(descriptor, found.target.irreps)
        first += basis.size
    return bases


def choose_inducing(
    found: LabelledStructures, descriptor: LambdaSOAP, options: SparseOptions, checkpoint: Checkpoint
) -> dict[str, Int[np.ndarray, " chosen"]]:
    """Numbers of the inducing environments among all of their species, by species; none for a primal model."""
    if options.inducing is None:
        return {}
    return {
        symbol: settled(
            checkpoint,
            f"inducing-{symbol}",
            lambda symbol=symbol: {"chosen": _choose(found, symbol, descriptor, options)},
        )["chosen"]
        for symbol in found.centres
    }


def settled(checkpoint: Checkpoint, name: str, choose: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """A choice that hangs on rounding, made once: by rank 0 for all processes, and kept for who resumes elsewhere."""

    def find() -> Mapping[str, np.ndarray]:
        kept = checkpoint.load(name)
        if not kept:
            kept = choose()
            checkpoint.save(name, kept)
        return kept

    return from_first(find)


def _choose(
    found: LabelledStructures, symbol: str, descriptor: LambdaSOAP, options: SparseOptions
) -> Int[np.ndarray, " chosen"]:
    """Numbers of the inducing environments among all of a species, ascending."""
    total = sum(map(len, found.centres[symbol]))
    candidates = np.arange(total)
    if total > _CANDIDATES * options.inducing:
        generator = np.random.Generator(np.random.PCG64(0))
        candidates = np.sort(generator.choice(total, _CANDIDATES * options.inducing, replace=False))
        logger.info("%s: choosing inducing environments among %d of %d", symbol, len(candidates), total)
    logger.info("%s: computing features of %d environments to choose from", symbol, len(candidates))
    invariants = _invariants(*_with_centres(found, symbol, candidates), symbol, descriptor)
    logger.info("%s: choosing %d inducing environments", symbol, options.inducing)
    chosen = select_environments(invariants, options.inducing, options.selection, options.zeta)
    if len(chosen) < min(options.inducing, len(candidates)):
        logger.warning("%s: only %d environments differ; all of these are taken", symbol, len(chosen))
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


def _with_centres(
    found: LabelledStructures, symbol: str, numbers: Int[np.ndarray, " chosen"]
) -> tuple[list[Atoms], list[np.ndarray]]:
    """Structures that have these centres of a species (numbered through all structures), and their atoms."""
    structure = np.repeat(np.arange(len(found.structures)), [len(index) for index in found.centres[symbol]])[numbers]
    atoms = np.concatenate(found.centres[symbol])[numbers]
    used = np.unique(structure)
    return [found.structures[i] for i in used], [atoms[structure == i] for i in used]
