"""Sparse regression: few columns (inducing environments or features), any number of training environments.

Training environments are featurised chunk by chunk, turned into columns, and summed into Gram matrices. Only the labels
grow with the training set. With a checkpoint the sums are on disk after every chunk.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.gp import gram
from efg_jax.gp.basis import Basis
from efg_jax.gp.gram import Gram
from efg_jax.gp.inducing import SparseOptions, choose_inducing, inducing_environments, settled
from efg_jax.gp.irrep_regression import IrrepRegression, not_positive_definite, report_featureless
from efg_jax.gp.labelled_structures import IrrepTargets, LabelledStructures
from efg_jax.gp.nystrom import Whitening, whitening
from efg_jax.gp.sparse_columns import Columns, Reference, add, atom_grams, columns_of, gram_sums, summed_by_row
from efg_jax.gp.sparse_posterior import SparsePosterior
from efg_jax.gp.target_kernels import training_kernel
from efg_jax.models.protocol import Progress
from efg_jax.parallel import count, data_mesh, rank, replicated, summed, total
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.fingerprints import array_digest
from efg_jax.structures.padding import bucket, lengthen
from efg_jax.structures.splits import folds
from efg_jax.structures.streaming import Dealer, Piece

logger = logging.getLogger(__name__)

CHUNK = 512  # environments in one step
FOLDS = 5  # of the search for the regularisation


class SparseProblem(NamedTuple):
    """One group of species, ready to be summed.

    Attributes:
        found: structures, centres, labels.
        descriptor: with species.
        references: what environments are compared with, by species.
        spaces: make columns orthonormal in the prior; None: they are already (primal). The sums hang on them, so they
            are kept beside the sums, never computed again.
        targets: scaled labels by irrep.
        mesh: devices that share the rows.
    """

    found: LabelledStructures
    descriptor: LambdaSOAP
    references: dict[str, Reference]
    spaces: dict[Irrep, Whitening | None]
    targets: dict[Irrep, IrrepTargets]
    mesh: Mesh

    def width(self, irrep: Irrep) -> int:
        """Number of columns of all species before whitening."""
        return sum(reference.width(self.descriptor, irrep) for reference in self.references.values())


def fit_sparse(
    found: LabelledStructures,
    descriptor: LambdaSOAP,
    options: SparseOptions,
    regularisation: float | None,
    checkpoint: Checkpoint,
    progress: Progress | None = None,
) -> tuple[dict[str, Basis], dict[Irrep, IrrepRegression]]:
    """Fit all irreps of a target for one group of species.

    Args:
        found: structures, centres and labels of the group.
        descriptor: with species.
        options: what the model is made of.
        regularisation: ρ over the kernel's mean diagonal; None: the one with the smallest error on held-out folds of
            structures.
        checkpoint: where the sums are kept.
        progress: called after every chunk.

    Returns:
        Inducing environments by species (none for a primal model), and the regressions.

    Raises:
        InputError: no features, or a matrix that is not positive definite.
    """
    targets = found.irrep_targets()
    chosen = choose_inducing(found, descriptor, options, checkpoint)
    bases = inducing_environments(found, descriptor, chosen)
    logger.info("%s: factorising %d columns", found.name, sum(basis.size for basis in bases.values()))
    references = {symbol: Reference.of(basis, options.zeta) for symbol, basis in bases.items()}
    spaces = dict.fromkeys(targets)
    if options.inducing is not None:
        spaces = {irrep: _space(bases, chosen, irrep, options.zeta, checkpoint) for irrep in targets}
    mesh = data_mesh()
    problem = SparseProblem(found, descriptor, *replicated((references, spaces), mesh), targets, mesh)
    sums = _summed(problem, _fold_of_structure(found, regularisation), checkpoint, progress)
    regressions = {}
    for irrep in targets:
        parts = [fold[irrep] for fold in sums]
        logger.info("%s: solving for λ = %d (%d columns)", found.name, irrep[0], len(parts[0].vector))
        regressions[irrep] = _fit_irrep(problem, irrep, parts, regularisation).with_contraction(bases)
    return bases, regressions


def _fold_of_structure(found: LabelledStructures, regularisation: float | None) -> Int[np.ndarray, " structures"]:
    """Fold of each structure; a single fold if the regularisation is given."""
    number = len(found.structures)
    return np.zeros(number, dtype=int) if regularisation is not None else folds(number, min(FOLDS, number))


def _space(
    bases: Mapping[str, Basis], chosen: Mapping[str, np.ndarray], irrep: Irrep, zeta: float, checkpoint: Checkpoint
) -> Whitening:
    def choose() -> dict[str, np.ndarray]:
        rows = sum(basis.size for basis in bases.values())
        return whitening(np.asarray(training_kernel(bases, irrep, zeta, rows)))._asdict()

    return Whitening(**settled(checkpoint, f"space-{irrep[0]}-{irrep[1]}-{array_digest(chosen)}", choose))


def _fit_irrep(
    problem: SparseProblem, irrep: Irrep, parts: Sequence[Gram], regularisation: float | None
) -> IrrepRegression:
    """Solve one irrep from the sums of its folds."""
    whole, space = reduce(Gram.plus, parts), problem.spaces[irrep]
    held_out_rms = None
    if not np.trace(whole.matrix) > 0:
        report_featureless(problem.found, irrep)
        whole, regularisation = whole._replace(matrix=np.eye(len(whole.vector)), square=np.zeros(())), 1.0
    if auto := regularisation is None:
        regularisation, held_out_rms = gram.choose_regularisation(whole, parts)
    noise = float(regularisation * np.trace(whole.matrix) / whole.rows)
    solution, factor = map(np.asarray, gram.solve(whole, noise))
    if not np.isfinite(solution).all():
        raise not_positive_definite(problem.found, irrep, f"{len(solution)} columns", regularisation, auto)
    amplitude, log_likelihood = gram.evidence(whole, solution, factor, noise)
    if space is None:
        weights, pivots = solution.reshape(-1, 1), None
    else:
        weights = space.weights(solution, problem.width(irrep)).reshape(-1, 2 * irrep[0] + 1)
        pivots = np.asarray(space.pivots)
    return IrrepRegression(
        irrep=irrep,
        weights=weights,
        mean=problem.targets[irrep].mean,
        scale=problem.targets[irrep].scale,
        regularisation=regularisation,
        noise=noise,
        amplitude=amplitude,
        log_likelihood=log_likelihood,
        held_out_rms=held_out_rms,
        sparse=SparsePosterior(pivots, factor, space),
    )


def _summed(
    problem: SparseProblem, fold_of: np.ndarray, checkpoint: Checkpoint, progress: Progress | None
) -> list[dict[Irrep, Gram]]:
    """Gram matrices of each fold, summed chunk by chunk; chunks in the checkpoint are not computed again."""
    plan, sums, done = _plan(problem.found, fold_of), [], 0
    spaces = array_digest(problem.spaces)
    for fold, chunks in enumerate(plan):
        name = f"fold-{fold}-{spaces}"  # sums in other spaces are not found
        state, ready = _unpacked(checkpoint.load(name), problem)
        if ready:
            logger.info("fold %d: %d of %d chunks are taken from the checkpoint", fold + 1, ready, len(chunks))
        done += ready
        for number, rows in enumerate(chunks[ready:], start=ready + 1):
            new = _chunk_sums(problem, rows)
            state = new if state is None else add(state, new)
            checkpoint.save(name, _packed(state, number))
            done += 1
            if progress is not None:
                progress(done, sum(map(len, plan)), problem.found.name)
        sums.append(total(state if state is not None else _nothing(problem)))
    return sums


def _plan(found: LabelledStructures, fold_of: np.ndarray) -> list[list[Int[np.ndarray, " rows"]]]:
    """This process's share of the rows of each fold, in chunks of about `CHUNK` environments."""
    plan = []
    for fold in range(fold_of.max() + 1):
        rows = np.flatnonzero(fold_of[found.structure_of_row] == fold)
        chunks = [rows[run] for run in _consecutive(found.contributions[rows], CHUNK)]
        plan.append(chunks[rank() :: count()])
    return plan


def _consecutive(sizes: Int[np.ndarray, " items"], largest: int) -> Iterator[list[int]]:
    """Split items into consecutive runs whose sizes add up to at most ``largest``; a run has one item at least."""
    run, filled = [], 0
    for item, size in enumerate(sizes):
        if run and filled + size > largest:
            yield run
            run, filled = [], 0
        run.append(item)
        filled += size
    if run:
        yield run


def _nothing(problem: SparseProblem) -> dict[Irrep, Gram]:
    """Sums of a process that has no chunk of a fold."""
    return {
        irrep: Gram.zero(problem.width(irrep) if space is None else len(space.pivots))
        for irrep, space in problem.spaces.items()
    }


def _packed(state: Mapping[Irrep, Gram], chunks: int) -> dict[str, np.ndarray]:
    """Sums of the first chunks as named arrays."""
    arrays = {
        f"{number}/{field}": np.asarray(value)
        for number, part in enumerate(state.values())
        for field, value in part._asdict().items()
    }
    return {**arrays, "chunks": np.asarray(chunks)}


def _unpacked(arrays: Mapping[str, np.ndarray], problem: SparseProblem) -> tuple[dict[Irrep, Gram] | None, int]:
    """Inverse of `_packed`; None and 0 if there are none."""
    if not arrays:
        return None, 0
    state = {
        irrep: Gram(*(jnp.asarray(arrays[f"{number}/{field}"]) for field in Gram._fields))
        for number, irrep in enumerate(problem.targets)
    }
    return state, int(arrays["chunks"])


def _chunk_sums(problem: SparseProblem, rows: Int[np.ndarray, " rows"]) -> dict[Irrep, Gram]:
    """Sums over the rows of one chunk, padded to one of few sizes.

    The devices of the mesh share rows of atoms; rows of structures stay on one device.
    """
    size = bucket(len(rows))
    if not problem.found.per_atom:
        columns = _columns_of_structures(problem, rows, size)
        return gram_sums(problem.spaces, columns, _padded(problem, rows, size), jnp.asarray(float(len(rows))))
    ((symbol, reference),) = problem.references.items()
    ((piece, place),) = _pieces(problem, rows, symbol, min(CHUNK, size))
    batch = piece.neighbours, _padded(problem, rows[place], piece.neighbours.size)
    return summed(atom_grams, problem.mesh)(reference, problem.descriptor, problem.spaces, batch)


def _padded(problem: SparseProblem, rows: Int[np.ndarray, " rows"], size: int) -> dict[Irrep, np.ndarray]:
    return {irrep: lengthen(targets.values[rows], size) for irrep, targets in problem.targets.items()}


def _columns_of_structures(problem: SparseProblem, rows: Int[np.ndarray, " rows"], size: int) -> Columns:
    """Columns of structures, the sums or means over their environments; those of all species side by side."""
    irreps, parts = tuple(problem.targets), []
    for symbol, reference in problem.references.items():
        columns = {
            irrep: jnp.zeros((size, 2 * irrep[0] + 1, reference.width(problem.descriptor, irrep))) for irrep in irreps
        }
        centres = sum(len(problem.found.centres[symbol][i]) for i in rows)
        for piece, place in _pieces(problem, rows, symbol, min(CHUNK, bucket(centres))):
            new = columns_of(reference, problem.descriptor, piece.neighbours, irreps)
            # Padding belongs to no structure: its row lies past the end.
            row = np.pad(place, (0, piece.neighbours.size - len(place)), constant_values=size)
            columns = add(columns, summed_by_row(new, jnp.asarray(row), size))
        parts.append(columns)
    shares = problem.found.shares
    each = lengthen(np.ones(len(rows)) if shares is None else shares[rows], size)[:, None, None]
    return {irrep: jnp.concatenate([part[irrep] for part in parts], axis=-1) * each for irrep in irreps}


def _pieces(
    problem: SparseProblem, rows: Int[np.ndarray, " rows"], symbol: str, size: int
) -> Iterator[tuple[Piece, Int[np.ndarray, " real"]]]:
    """Environments of one species that contribute to these rows, and the place of each one's row among them."""
    found = problem.found
    dealer = Dealer(float(problem.descriptor.cutoff), problem.descriptor.species, size, remainder=1)
    place_of: dict[tuple[int, int], int] = {}

    def dealt() -> Iterator[Piece]:
        for structure, centres, places in found.contributing(rows, symbol):
            place_of.update(zip(((structure, int(atom)) for atom in centres), places.tolist(), strict=True))
            yield from dealer.add(structure, found.structures[structure], {symbol: centres} if len(centres) else {})
        yield from dealer.rest()

    for piece in dealt():
        known = zip(piece.structure.tolist(), piece.atom.tolist(), strict=True)
        yield piece, np.array([place_of[centre] for centre in known], dtype=int)
