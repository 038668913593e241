"""What a quick λ-SOAP model predicts for every tensor without the frame that carries it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
import scipy.linalg
from ase import Atoms
from jaxtyping import Array, Bool, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.gp.basis import featurise
from efg_jax.gp.environment_selection import select_environments
from efg_jax.gp.nystrom import Whitening, whitening
from efg_jax.gp.sparse_columns import Reference, columns_of
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import Streamed, chunk_size, stream

DESCRIPTOR = LambdaSOAP(cutoff=4.5, nmax=4, lmax=3, sigma=0.4)
ZETA = 2.0
INDUCING = 100  # environments of an element that the others are compared with
CANDIDATES = 1000  # environments of an element among which these are chosen
RATIOS = 10.0 ** np.arange(-8.0, 0.0)  # noise over the mean variance of a column
CHOOSING = 60  # frames with which the noise is chosen

Centres = list[dict[str, Int[np.ndarray, " _"]]]
"""Atoms of each frame by element."""


class Described(NamedTuple):
    """All atoms of all frames as a regression sees them.

    Attributes:
        columns: by element and irrep, (atoms, 2λ+1, columns), float32; the atoms of an element frame by frame.
        fingerprints: of each frame: mean and standard deviation of the λ = 0 features by element.
    """

    columns: dict[str, dict[Irrep, np.ndarray]]
    fingerprints: Float[np.ndarray, "frames features"]


class HeldOut(NamedTuple):
    """Predictions of atoms whose group is held out.

    Attributes:
        predicted: as the targets.
        spread: standard deviation of a residual in units of that of the noise, one for each atom.
    """

    predicted: Float[np.ndarray, "atoms components"]
    spread: Float[np.ndarray, " atoms"]


def describe(
    frames: Sequence[Atoms], irreps: tuple[Irrep, ...], seed: int, tell: Callable[[int], None] = lambda done: None
) -> Described:
    """Kernels of all atoms with a few of their element, made orthonormal in the prior.

    Args:
        frames: checked structures.
        irreps: that are learned; λ = 0 among them.
        seed: draws the environments among which the few are chosen.
        tell: is told how many frames are done.
    """
    elements = sorted({str(symbol) for atoms in frames for symbol in atoms.symbols})
    descriptor = DESCRIPTOR.with_species(elements)
    every = [{str(e): np.flatnonzero(atoms.symbols == e) for e in set(atoms.symbols)} for atoms in frames]

    def streamed(centres: Centres, evaluate: Callable[[str, Neighbours], Mapping[str, Array]]) -> Iterator[Streamed]:
        cutoff = float(descriptor.cutoff)
        return stream(frames, lambda number, _: centres[number], evaluate, cutoff, elements, chunk_size("auto"))

    def invariants(_: str, neighbours: Neighbours) -> dict[str, Array]:
        return {"invariants": featurise(descriptor, neighbours, irreps)[INVARIANT][:, 0]}

    def features(_: str, neighbours: Neighbours) -> dict[str, Array]:
        return {str(irrep): p for irrep, p in featurise(descriptor, neighbours, irreps).items()}

    drawn = list(streamed(_drawn(every, elements, seed), invariants))
    few = list(streamed(_chosen(drawn, elements), features))
    references: dict[str, Reference] = {}
    spaces: dict[str, dict[Irrep, Whitening]] = {}
    for element in elements:
        own = {irrep: _collected(few, element, str(irrep)) for irrep in irreps}
        reference = references[element] = Reference(*jax.device_put((own, np.asarray(ZETA))))
        kernels = {irrep: np.asarray(reference.columns(reference.features, irrep)) for irrep in irreps}
        spaces[element] = {irrep: whitening(_flat(kernel)) for irrep, kernel in kernels.items()}

    def columns(element: str, neighbours: Neighbours) -> dict[str, Array]:
        parts = columns_of(references[element], descriptor, neighbours, irreps)
        # The number of columns depends on the element, so that each has names of its own.
        return {f"{element}{irrep}": p for irrep, p in parts.items()} | invariants(element, neighbours)

    parts: dict[str, dict[Irrep, list]] = {element: {irrep: [] for irrep in irreps} for element in elements}
    fingerprints = []
    for one in streamed(every, columns):
        size = one.values["invariants"].shape[1]
        summary = {element: np.zeros((2, size)) for element in elements}
        for element, centres in one.centres.items():
            own = one.values["invariants"][centres]
            summary[element] = np.stack([own.mean(axis=0), own.std(axis=0)])
            for irrep, space in spaces[element].items():
                kernel = one.values[f"{element}{irrep}"][centres]
                # By SciPy: the number of atoms differs from frame to frame, and JAX would compile for each.
                rows = scipy.linalg.solve_triangular(space.factor, _flat(kernel)[:, space.pivots].T, lower=True).T
                parts[element][irrep].append(rows.astype(np.float32).reshape(*kernel.shape[:2], -1))
        fingerprints.append(np.concatenate([summary[element].ravel() for element in elements]))
        tell(one.number + 1)
    joined = {e: {irrep: np.concatenate(part) for irrep, part in by_irrep.items()} for e, by_irrep in parts.items()}
    return Described(joined, np.array(fingerprints))


def _flat(kernel: Float[np.ndarray, "atoms components columns"]) -> Float[np.ndarray, "rows columns"]:
    return np.asarray(kernel, dtype=np.float64).reshape(-1, kernel.shape[-1])


def _drawn(every: Centres, elements: Sequence[str], seed: int) -> Centres:
    """Some atoms of each element, at random."""
    generator = np.random.default_rng(seed)
    drawn: Centres = [{} for _ in every]
    for element in elements:
        owner = np.concatenate([np.full(len(one.get(element, ())), number) for number, one in enumerate(every)])
        index = np.concatenate([one[element] for one in every if element in one])
        some = np.sort(generator.choice(len(index), min(len(index), CANDIDATES), replace=False))
        for number in np.unique(owner[some]).astype(int):
            drawn[number][element] = index[some][owner[some] == number]
    return drawn


def _chosen(drawn: Sequence[Streamed], elements: Sequence[str]) -> Centres:
    """Of the drawn atoms, those whose environments spread farthest."""
    chosen: Centres = [{} for _ in drawn]
    for element in elements:
        at = [(one.number, int(i)) for one in drawn for i in one.centres.get(element, ())]
        for place in np.sort(select_environments(_collected(drawn, element, "invariants"), INDUCING, "fps", ZETA)):
            number, atom = at[place]
            chosen[number][element] = np.append(chosen[number].get(element, np.zeros(0, dtype=int)), atom)
    return chosen


def _collected(streamed: Sequence[Streamed], element: str, name: str) -> np.ndarray:
    """Values of all centres of an element."""
    return np.concatenate([one.values[name][one.centres[element]] for one in streamed if element in one.centres])


def held_out(
    columns: Float[np.ndarray, "atoms components columns"],
    targets: Float[np.ndarray, "atoms components"],
    group: Int[np.ndarray, " atoms"],
    learned: Bool[np.ndarray, " atoms"],
) -> HeldOut:
    """Ridge regression's predictions of all atoms, each without the atoms of its group, in closed form.

    With columns Z for which Zᵀ Z + ρ = 1, v = Zᵀ y, and G the learned rows of a group, the coefficients without the
    group are v − Z_Gᵀ (1 − Z_G Z_Gᵀ)⁻¹ (y_G − Z_G v) (Rasmussen & Williams 2006, Eq. 5.12, for blocks), and their
    covariance is that of the noise times 1 + Z_Gᵀ (1 − Z_G Z_Gᵀ)⁻¹ Z_G. ρ is chosen by the median of the residuals.

    Args:
        columns: of the regression.
        targets: centred where λ = 0; NaN where an atom has none.
        group: what is held out together.
        learned: atoms that are learned from; the others are predicted only.
    """
    _, components, width = columns.shape
    used, y, owner = np.repeat(learned, components), targets.reshape(-1), np.repeat(group, components)
    rows = columns.reshape(-1, width).astype(np.float64)
    values, vectors = scipy.linalg.eigh(rows[used].T @ rows[used])
    rows = rows @ vectors
    coefficients = rows[used].T @ y[used]
    order = np.argsort(owner, kind="stable")
    members = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)

    def weights(ratio: float) -> np.ndarray:
        return 1.0 / np.sqrt(np.maximum(values, 0.0) + ratio * max(float(values.mean()), 1e-300))

    def without(
        own: np.ndarray, weight: np.ndarray, v: np.ndarray, spread: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Predictions and variances of a group."""
        z = rows[own] * weight
        known = used[own]
        zk = z[known]
        cross = z @ zk.T
        gap = (y[own][known] - zk @ v)[:, None]
        factor = scipy.linalg.cho_factor(np.eye(len(zk)) * (1.0 + 1e-10) - zk @ zk.T, overwrite_a=True)
        solved = scipy.linalg.cho_solve(factor, np.hstack([gap, cross.T]) if spread else gap)
        predicted = z @ v - cross @ solved[:, 0]
        return predicted, 1.0 + np.sum(z**2, axis=1) + np.sum(cross * solved[:, 1:].T, axis=1) if spread else None

    few = members[:: max(1, len(members) // CHOOSING)]
    errors = []
    for ratio in RATIOS:
        weight = weights(ratio)
        gaps = [abs(without(own, weight, coefficients * weight, False)[0] - y[own])[used[own]] for own in few]
        errors.append(np.median(np.concatenate(gaps)))
    weight = weights(RATIOS[int(np.nanargmin(errors))])
    predicted, variance = np.empty(len(rows)), np.empty(len(rows))
    for own in members:
        predicted[own], variance[own] = without(own, weight, coefficients * weight, True)
    return HeldOut(predicted.reshape(targets.shape), np.sqrt(variance.reshape(targets.shape).mean(axis=1)))
