"""The sums of one pass over a trajectory. What is kept grows with the atoms, the labels and log₂ of the frames, not with the frames."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.crystal_frame import crystal_axes, has_crystal_frame
from efg_jax.structures.targets import place_of
from efg_jax.trajectories.blocks import BlockSums
from efg_jax.trajectories.continuity import Continuity
from efg_jax.trajectories.correlator import Correlator
from efg_jax.trajectories.distributions import Reservoir
from efg_jax.trajectories.history import History, Snapshot
from efg_jax.trajectories.labels import Key, label_of, mask_of, tensors_of, tracked_atoms
from efg_jax.trajectories.quantities import Described, kind_of

MOST_LABELS = 1000


@dataclass(frozen=True)
class Options:
    """What is averaged, and how; see `efg_jax.trajectories.average`."""

    target: str
    array: str
    species: tuple[str, ...] | None
    indices: tuple[int, ...] | None
    label: Key | None
    mask: Key | None
    pool: bool
    frame: Literal["fixed", "crystal"]
    direction: Float[np.ndarray, "3"] | None
    jump: float | None
    check_units: bool
    sample: int
    seed: int


class Places:
    """Mean positions and cell."""

    def __init__(self) -> None:
        self.frames, self.positions, self.cell = 0, 0.0, 0.0

    def add(self, positions: Float[np.ndarray, "atoms 3"], cell: Float[np.ndarray, "3 3"]) -> None:
        """One more frame."""
        self.frames += 1
        self.positions = self.positions + (positions - self.positions) / self.frames
        self.cell = self.cell + (cell - self.cell) / self.frames


class Accumulator:
    """Everything that is summed over the frames.

    Attributes:
        frames: number of frames that were read.
        counted: number of those in which some atom was counted.
        kind: how the target is described.
        tracked: indices of the atoms, once the first frame is there.
        reference: the first frame.
        origin: its tensors (symmetric part), from which those that are correlated count.
        overall: sums of each tracked atom over all frames that count.
        by_label: the same by label, one row an atom, or one for all of them where they are pooled.
        places: mean positions, overall (None) and by label of the frame.
        tensor_correlation, frequency_correlation: of V − V(0) (its traceless symmetric part) and of n·(V − V(0))·n.
        samples: C_Q, η and the like of single frames, by label (None without) and element.
        history: of the overall mean.
    """

    def __init__(self, options: Options):
        self.options, self.kind = options, kind_of(options.target)
        self.frames = self.counted = 0
        self.tracked: Int[np.ndarray, " tracked"] = np.zeros(0, dtype=int)
        self.reference: Atoms | None = None
        self.origin: Float[np.ndarray, "tracked 3 3"] | None = None
        self.by_label: dict[str, BlockSums] = {}
        self.places: dict[str | None, Places] = {None: Places()}
        self.samples: dict[tuple[str | None, str], Reservoir] = {}
        self.history = History()

    def add(self, atoms: Atoms) -> None:
        """One more frame.

        Raises:
            InputError: it does not belong to those before, or lacks what is to be averaged.
        """
        options, number = self.options, self.frames
        if self.reference is None:
            self._begin(atoms, number)
        positions = self._continuity.check(atoms, number)
        tensors = tensors_of(atoms, number, options.array, self.tracked, self.kind.name == "efg")
        if self.kind.name == "efg":
            self._continuity.check_units(tensors, atoms, number)
        if options.frame == "crystal":
            if not has_crystal_frame(atoms):
                raise InputError(
                    "is no crystal (periodic in three directions, with a cell), and has no frame of its own; average with frame='fixed'",
                    **place_of(atoms, number),
                )
            axes = crystal_axes(atoms)
            tensors = axes @ tensors @ axes.T
        rows = rows_of(self.kind, tensors)
        present = np.ones(len(self.tracked), dtype=bool)
        if options.mask is not None:
            present = mask_of(atoms, number, options.mask, self.tracked).copy()
        label = None if options.label is None else label_of(atoms, number, options.label, self.tracked)
        if label is not None:
            present &= np.array([text != "" for text in (len(present) * [label] if isinstance(label, str) else label)])
        self.frames += 1
        if not present.all():
            self.complete = False
        self._correlate(tensors)
        if not present.any():
            return
        self.counted += 1
        self.overall.add(rows, present)
        self._add_labels(rows, present, label, atoms, number)
        self._sample(rows, tensors, present, label)
        self.places[None].add(positions, atoms.cell.array)
        if isinstance(label, str):
            self.places.setdefault(label, Places()).add(positions, atoms.cell.array)
        self.history.add(self._snapshot)

    def _begin(self, atoms: Atoms, number: int) -> None:
        options = self.options
        self.tracked = tracked_atoms(atoms, number, options.array, options.species, options.indices)
        self.reference = atoms.copy()
        self.symbols = np.asarray(atoms.symbols)[self.tracked]
        if options.pool and len(elements := sorted(set(self.symbols.tolist()))) > 1:
            raise InputError(
                f"atoms of one element have a common tensor, not {' and '.join(elements)}; choose species= (command line: --species), or pool=False",
                **place_of(atoms, number),
            )
        self.complete = True  # every tracked atom was counted in every frame: only then do steps of frames mean times
        count = len(self.tracked)
        self.overall = BlockSums(count, self.kind.width + len(self.kind.nonlinear))
        self.tensor_correlation = Correlator(count, 9)
        self.frequency_correlation = Correlator(count, 1)
        self._continuity = Continuity(
            self.tracked, options.jump, options.frame == "crystal", options.check_units and self.kind.name == "efg"
        )

    def _correlate(self, tensors: np.ndarray) -> None:
        if not self.complete:
            return
        symmetric = 0.5 * (tensors + tensors.swapaxes(1, 2))
        if self.origin is None:
            self.origin = symmetric
        moved = symmetric - self.origin  # a small fluctuation is lost in the squares of a large mean
        self.tensor_correlation.add(vectors(moved, None))
        if self.options.direction is not None:
            self.frequency_correlation.add(vectors(moved, self.options.direction))

    def _add_labels(
        self, rows: np.ndarray, present: np.ndarray, label: str | list[str] | None, atoms: Atoms, number: int
    ) -> None:
        if label is None and not self.options.pool:
            return
        labels = np.full(len(rows), label or "all") if isinstance(label, str | None) else np.array(label)
        for text in np.unique(labels[present]).tolist():
            if text not in self.by_label:
                if len(self.by_label) == MOST_LABELS:
                    raise InputError(
                        f"more than {MOST_LABELS} labels; label= must name a few phases or sites, not every frame",
                        **place_of(atoms, number),
                    )
                self.by_label[text] = BlockSums(1 if self.options.pool else len(rows), rows.shape[1])
            chosen = present & (labels == text)
            if self.options.pool:
                self.by_label[text].add(rows[chosen].mean(axis=0)[None])
            else:
                self.by_label[text].add(rows, chosen)

    def _sample(
        self, rows: np.ndarray, tensors: np.ndarray, present: np.ndarray, label: str | list[str] | None
    ) -> None:
        """Numbers of single frames: the nonlinear ones, σ_iso, and the component along the field."""
        columns = [rows[:, self.kind.width :], np.trace(tensors, axis1=1, axis2=2)[:, None] / 3.0]
        if self.options.direction is not None:
            columns.append(along(tensors, self.options.direction)[:, None])
        values = np.concatenate(columns, axis=1)
        labels = np.full(len(rows), label) if isinstance(label, str | None) else np.array(label)
        for text in set(labels[present].tolist()):
            for symbol in np.unique(self.symbols).tolist():
                chosen = present & (labels == text) & (self.symbols == symbol)
                if chosen.any():
                    key = (text, symbol)
                    if key not in self.samples:
                        self.samples[key] = Reservoir(self.options.sample, self.options.seed)
                    self.samples[key].add(values[chosen])

    def _snapshot(self) -> Snapshot:
        """V_zz, or Ω, with its error; NaN for atoms that were not counted yet."""
        width, counted = self.kind.width, self.overall.count > 0
        mean = np.nan_to_num(self.overall.mean)
        name = self.kind.nonlinear[0]
        found = self.kind.numbers(self.kind.unpack(mean[:, :width]))[name]
        error = self.overall.errors(widened(self.kind.pack_gradient(found.gradient), mean.shape[1])).error
        return Snapshot(*(np.where(counted, column, np.nan) for column in (found.value, error, mean[:, width])))


def rows_of(kind: Described, tensors: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n width"]:
    """What is averaged of each tensor: its components, then the nonlinear numbers."""
    numbers = kind.numbers(tensors)
    return np.concatenate([kind.pack(tensors), *(numbers[name].value[:, None] for name in kind.nonlinear)], axis=1)


def widened(gradient: Float[np.ndarray, "n components"], width: int) -> Float[np.ndarray, "n width"]:
    """A gradient with respect to the components as one with respect to the rows of `rows_of`."""
    return np.pad(gradient, [(0, 0), (0, width - gradient.shape[1])])


def vectors(
    tensors: Float[np.ndarray, "n 3 3"], direction: Float[np.ndarray, "3"] | None
) -> Float[np.ndarray, "n width"]:
    """What is correlated: the nine components of the tensors without their isotropic part, or with a direction n·V·n."""
    if direction is not None:
        return along(tensors, direction)[:, None]
    return (tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)).reshape(-1, 9)


def along(tensors: Float[np.ndarray, "n 3 3"], direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, " n"]:
    """n·V·n."""
    return np.einsum("i,nij,j->n", direction, tensors, direction)
