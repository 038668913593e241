"""Sparse regression: few columns (inducing environments, or the features themselves) and any number of training environments.

Features of the training environments are made chunk by chunk, turned into columns, and summed into Gram matrices; nothing that is as long as the
training set is kept but labels. With a checkpoint the sums are on disk after every chunk.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp import gram
from efg_jax.gp.basis import Basis
from efg_jax.gp.columns import Reference, Rows, add, atom_grams, by_owner, gram_sums, rows_of
from efg_jax.gp.gram import Gram
from efg_jax.gp.inducing import Columns, consecutive, inducing_environments
from efg_jax.gp.irrep_regression import Regression, indefinite, report_featureless, scaled_targets, training_kernel
from efg_jax.gp.labelled import Labelled
from efg_jax.gp.nystrom import Whitening, whitening
from efg_jax.gp.projected import Projected
from efg_jax.models.protocol import Progress
from efg_jax.parallel import count, data_mesh, rank, replicated, summed, total
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.structures.padding import bucket
from efg_jax.structures.splits import folds
from efg_jax.structures.streaming import Dealer, Piece
from efg_jax.structures.targets import Target, to_irreps

logger = logging.getLogger(__name__)

CHUNK = 512  # environments that are worked on at a time
FOLDS = 5  # of the search for the regularisation


class Chunk(NamedTuple):
    """Rows of one fold that are added in one step, ascending."""

    fold: int
    rows: Int[np.ndarray, " rows"]


class Problem(NamedTuple):
    """One group of species, ready to be summed.

    Attributes:
        name: for messages.
        labelled: structures, centres, labels.
        descriptor: with species.
        references: what environments are compared with, by species.
        spaces: what makes columns orthonormal in the prior; None: they are.
        targets: scaled, by irrep, (rows, components).
        mesh: devices that share the rows.
    """

    name: str
    labelled: Labelled
    descriptor: LambdaSOAP
    references: dict[str, Reference]
    spaces: dict[Irrep, Whitening | None]
    targets: dict[Irrep, Float[np.ndarray, "rows _"]]
    mesh: Mesh


def fit_sparse(
    found: Labelled,
    target: Target,
    descriptor: LambdaSOAP,
    columns: Columns,
    regularisation: float | None,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
) -> tuple[dict[str, Basis], dict[Irrep, Regression]]:
    """Fit all irreps of a target for one group of species.

    Args:
        found: structures, centres and labels of the group.
        target: what is learned.
        descriptor: with species.
        columns: what the model is made of.
        regularisation: ρ over the kernel's mean diagonal; None: the one with the smallest error on held-out folds of structures.
        checkpoint: where the sums are kept.
        progress: told of every chunk.

    Returns:
        Inducing environments by species (none for a primal model), and the regressions.

    Raises:
        InputError: no features at all, one structure alone to find the regularisation from, or a matrix that is not positive definite.
    """
    name = f"{'+'.join(found.centres)} {target.name}"
    channels = to_irreps(target, np.concatenate(found.values))
    scaled = {irrep: scaled_targets(values, found.contributions, irrep) for irrep, values in channels.items()}
    bases = inducing_environments(found, descriptor, columns, tuple(channels), checkpoint)
    logger.info("%s: factorising %d columns", name, sum(basis.size for basis in bases.values()))
    mesh = data_mesh()
    references = {symbol: Reference.of(basis, columns.zeta) for symbol, basis in bases.items()}
    spaces = {irrep: None if columns.inducing is None else _space(bases, irrep, columns.zeta) for irrep in channels}
    problem = Problem(
        name,
        found,
        descriptor,
        *replicated((references, spaces), mesh),
        {irrep: values for irrep, (values, _, _) in scaled.items()},
        mesh,
    )
    sums = _summed(problem, _folds(found, regularisation), checkpoint, progress)
    regressions = {}
    for irrep, (_, mean, scale) in scaled.items():
        parts = [fold[irrep] for fold in sums]
        logger.info("%s: solving for λ = %d (%d columns)", name, irrep[0], len(parts[0].vector))
        fitted = _regression(problem, irrep, parts, columns, regularisation, mean, scale)
        regressions[irrep] = fitted.with_contraction(bases)
    return bases, regressions


def _folds(found: Labelled, regularisation: float | None) -> Int[np.ndarray, " structures"]:
    """Fold of each structure: held out together where the regularisation is to be found, else all in one."""
    count = len(found.structures)
    if regularisation is not None:
        return np.zeros(count, dtype=int)
    if count < 2:
        raise InputError(
            "regularisation 'auto' predicts each structure from the others, and only one carries labels; give a number such as 1e-4"
        )
    return folds(count, min(FOLDS, count))


def _space(bases: Mapping[str, Basis], irrep: Irrep, zeta: float) -> Whitening:
    rows = sum(basis.size for basis in bases.values())
    size = rows * (2 * irrep[0] + 1)
    return whitening(np.asarray(training_kernel(bases, irrep, zeta, rows)).reshape(size, size))


def _summed(
    problem: Problem, fold_of: np.ndarray, checkpoint: Checkpoint, progress: Progress | None
) -> list[dict[Irrep, Gram]]:
    """Gram matrices of each fold, chunk by chunk; what the checkpoint has is not computed again."""
    plan = _plan(problem.labelled, fold_of)
    mine = sum(len([chunk for chunk in plan if chunk.fold == fold][rank() :: count()]) for fold in set(fold_of))
    sums, done = [], 0
    for fold in range(fold_of.max() + 1):
        chunks = [chunk for chunk in plan if chunk.fold == fold][rank() :: count()]
        state, ready = _restored(checkpoint.load(f"fold-{fold}"), problem)
        if ready:
            logger.info("fold %d: %d of %d chunks are taken from the checkpoint", fold + 1, ready, len(chunks))
        done += ready
        for number, chunk in enumerate(chunks[ready:], start=ready + 1):
            new = _chunk_sums(problem, chunk.rows)
            state = new if state is None else add(state, new)
            checkpoint.save(f"fold-{fold}", _kept(state, number))
            done += 1
            if progress is not None:
                progress(done, mine, problem.name)
        sums.append(total(state if state is not None else _nothing(problem)))
    return sums


def _nothing(problem: Problem) -> dict[Irrep, Gram]:
    """Sums of a process that has no chunk of a fold."""
    return {
        irrep: Gram.zero(
            sum(reference.width(problem.descriptor, irrep) for reference in problem.references.values())
            if space is None
            else len(space.pivots)
        )
        for irrep, space in problem.spaces.items()
    }


def _plan(found: Labelled, fold_of: np.ndarray) -> list[Chunk]:
    """Rows of each fold in groups of about as many environments as are worked on at a time."""
    fold_of_row = np.repeat(fold_of, [len(values) for values in found.values])
    plan = []
    for fold in range(fold_of.max() + 1):
        rows = np.flatnonzero(fold_of_row == fold)
        plan += [Chunk(fold, rows[some]) for some in consecutive(found.contributions[rows], CHUNK)]
    return plan


def _restored(arrays: Mapping[str, np.ndarray], problem: Problem) -> tuple[dict[Irrep, Gram] | None, int]:
    if not arrays:
        return None, 0
    state = {
        irrep: Gram(*(jnp.asarray(arrays[f"{number}/{field}"]) for field in Gram._fields))
        for number, irrep in enumerate(problem.targets)
    }
    return state, int(arrays["chunks"])


def _kept(state: Mapping[Irrep, Gram], chunks: int) -> dict[str, np.ndarray]:
    arrays = {
        f"{number}/{field}": np.asarray(value)
        for number, part in enumerate(state.values())
        for field, value in part._asdict().items()
    }
    return {**arrays, "chunks": np.asarray(chunks)}


def _chunk_sums(problem: Problem, rows: Int[np.ndarray, " rows"]) -> dict[Irrep, Gram]:
    """Sums over the rows of one chunk, padded to one of few sizes.

    Rows of atoms are shared out among the devices of the mesh; those of structures stay on one.
    """
    size = bucket(len(rows))
    if not problem.labelled.per_atom:
        columns = _columns_of_structures(problem, rows, size)
        return gram_sums(problem.spaces, columns, _padded(problem, rows, size), jnp.asarray(float(len(rows))))
    ((symbol, reference),) = problem.references.items()
    ((piece, owner),) = _pieces(problem, rows, symbol, min(CHUNK, size))
    batch = piece.neighbours, _padded(problem, rows[owner], piece.neighbours.size)
    return summed(atom_grams, problem.mesh)(reference, problem.descriptor, problem.spaces, batch)


def _padded(problem: Problem, rows: Int[np.ndarray, " rows"], size: int) -> dict[Irrep, np.ndarray]:
    return {irrep: np.pad(values[rows], [(0, size - len(rows)), (0, 0)]) for irrep, values in problem.targets.items()}


def _columns_of_structures(problem: Problem, rows: Int[np.ndarray, " rows"], size: int) -> Rows:
    """Columns of structures, summed over their environments; those of all species side by side."""
    parts = []
    for symbol, reference in problem.references.items():
        total = {
            irrep: jnp.zeros((size, 2 * irrep[0] + 1, reference.width(problem.descriptor, irrep)))
            for irrep in problem.targets
        }
        centres = sum(len(problem.labelled.centres[symbol][i]) for i in rows)
        for piece, owner in _pieces(problem, rows, symbol, min(CHUNK, bucket(centres))):
            columns = rows_of(reference, problem.descriptor, piece.neighbours, tuple(problem.targets))
            # Padding belongs to no structure: its owner lies past the end.
            padded = np.pad(owner, (0, piece.neighbours.size - len(owner)), constant_values=size)
            total = add(total, by_owner(columns, jnp.asarray(padded), size))
        parts.append(total)
    return {irrep: jnp.concatenate([part[irrep] for part in parts], axis=-1) for irrep in problem.targets}


def _pieces(
    problem: Problem, rows: Int[np.ndarray, " rows"], symbol: str, size: int
) -> Iterator[tuple[Piece, Int[np.ndarray, " real"]]]:
    """Environments of one species that contribute to these rows, and for each the place of its row among them."""
    found = problem.labelled
    dealer = Dealer(float(problem.descriptor.cutoff), problem.descriptor.species, size, remainder=1)
    places: dict[tuple[int, int], int] = {}

    def dealt() -> Iterator[Piece]:
        for structure, centres, owners in found.environments(rows, symbol):
            places.update(zip(((structure, int(atom)) for atom in centres), owners.tolist(), strict=True))
            yield from dealer.add(structure, found.structures[structure], {symbol: centres} if len(centres) else {})
        yield from dealer.rest()

    for piece in dealt():
        known = zip(piece.structure.tolist(), piece.atom.tolist(), strict=True)
        yield piece, np.array([places[place] for place in known], dtype=int)


def _regression(
    problem: Problem,
    irrep: Irrep,
    parts: Sequence[Gram],
    columns: Columns,
    regularisation: float | None,
    mean: float,
    scale: float,
) -> Regression:
    """Solve one irrep from the sums of its folds."""
    whole, space = parts[0], problem.spaces[irrep]
    for part in parts[1:]:
        whole = whole.plus(part)
    if not np.trace(whole.matrix) > 0:
        report_featureless(problem.name, irrep, len(problem.targets) == 1)
        whole, regularisation = whole._replace(matrix=np.eye(len(whole.vector)), square=np.zeros(())), 1.0
    automatic, held_out_rms = regularisation is None, None
    if automatic:
        regularisation, held_out_rms = gram.choose_noise(whole, parts)
    noise = float(regularisation * np.trace(whole.matrix) / whole.rows)
    solution, factor = map(np.asarray, gram.solve(whole, noise))
    if not np.isfinite(solution).all():
        raise indefinite(problem.name, f"{len(solution)} columns", irrep, regularisation, automatic)
    amplitude, log_likelihood = gram.evidence(whole, solution, factor, noise)
    components = 1 if space is None else 2 * irrep[0] + 1
    width = sum(reference.width(problem.descriptor, irrep) for reference in problem.references.values())
    weights = solution if space is None else space.weights(solution, width)
    return Regression(
        irrep=irrep,
        weights=weights.reshape(-1, components),
        mean=mean,
        scale=scale,
        regularisation=float(regularisation),
        noise=noise,
        amplitude=amplitude,
        log_likelihood=log_likelihood,
        held_out_rms=held_out_rms if held_out_rms is not None and np.isfinite(held_out_rms) else None,
        projected=Projected(None if space is None else np.asarray(space.pivots), factor, space),
    )
