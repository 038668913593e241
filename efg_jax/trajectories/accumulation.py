"""The sums of one pass over a trajectory. Memory grows with atoms, labels and the logarithm of the frames."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Float, Int

from efg_jax.errors import InputError
from efg_jax.observables.arrays import values_and_gradients, values_of
from efg_jax.structures.padding import lengthen
from efg_jax.structures.targets import place_of
from efg_jax.tensors.quantities import Context, Quantity
from efg_jax.trajectories.averaged_tensors import AveragedTensor, averaged_tensor
from efg_jax.trajectories.blocks import BlockSums
from efg_jax.trajectories.correlator import Correlator
from efg_jax.trajectories.distributions import Reservoir
from efg_jax.trajectories.frame_labels import Key, label_of, mask_of
from efg_jax.trajectories.running_means import RunningMeans, Snapshot
from efg_jax.trajectories.tracked_tensors import TrackedTensors

MOST_LABELS = 1000
BATCH = 256  # tensors whose quantities are computed at once; a call of a compiled function costs as much as some frames


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


class Waiting(NamedTuple):
    """A frame whose quantities are not yet computed.

    Attributes:
        tensors: of the tracked atoms.
        present: which of them count.
        label: of the frame, or of each atom; None without labels.
        place: of the frame, for messages.
    """

    tensors: Float[np.ndarray, "tracked 3 3"]
    present: Bool[np.ndarray, " tracked"]
    label: str | list[str] | None
    place: dict[str, Any]


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
        kind: what is averaged.
        quantities: what is kept of single frames.
        tracked: indices of the atoms, once the first frame is there.
        reference: the first frame.
        origin: its tensors (symmetric part), from which the correlated tensors are measured.
        overall: sums of each tracked atom over all frames that count.
        by_label: the same by label, one row for each atom, or one for all where atoms are pooled.
        places: mean positions, overall (None) and by label of the frame.
        tensor_correlation, frequency_correlation: of V − V(0) (its traceless symmetric part) and of n·(V − V(0))·n.
        samples: quantities of single frames, by label (None without) and element.
        running: the overall mean after more and more frames.
    """

    def __init__(self, options: Options):
        self.options, self.kind = options, averaged_tensor(options.target)
        self.context = Context(direction=options.direction)
        self.quantities = quantities_of(self.kind, options.direction)
        self.frames = self.counted = 0
        self.tracked: Int[np.ndarray, " tracked"] = np.zeros(0, dtype=int)
        self.reference: Atoms | None = None
        self.origin: Float[np.ndarray, "tracked 3 3"] | None = None
        self.by_label: dict[str, BlockSums] = {}
        self.places: dict[str | None, Places] = {None: Places()}
        self.samples: dict[tuple[str | None, str], Reservoir] = {}
        self.running = RunningMeans()
        self._waiting: list[Waiting] = []

    def add(self, atoms: Atoms) -> None:
        """One more frame.

        Raises:
            InputError: it does not belong to those before, or lacks what is to be averaged.
        """
        options, number = self.options, self.frames
        if self.reference is None:
            self._begin(atoms, number)
        positions, tensors = self._tensors.of(atoms, number)
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
        self.places[None].add(positions, atoms.cell.array)
        if isinstance(label, str):
            self.places.setdefault(label, Places()).add(positions, atoms.cell.array)
        self._waiting.append(Waiting(tensors, present, label, place_of(atoms, number)))
        if len(self._waiting) * len(tensors) >= BATCH:
            self.finish()

    def finish(self) -> None:
        """Count the frames that wait.

        Raises:
            InputError: too many labels.
        """
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        tensors = np.concatenate([frame.tensors for frame in waiting])
        padded = lengthen(tensors, max(BATCH, len(tensors)))  # one shape, whatever the number of frames
        values = np.stack(values_of(self.quantities, self.context, **{self.kind.name: padded}), axis=1)[: len(tensors)]
        rows = np.concatenate([self.kind.pack(tensors), values[:, : len(self.kind.nonlinear)]], axis=1)
        count = len(waiting[0].tensors)
        for k, (_, present, label, place) in enumerate(waiting):
            own = slice(k * count, (k + 1) * count)
            self.overall.add(rows[own], present)
            self._add_labels(rows[own], present, label, place)
            self._sample(values[own], present, label)
            self.running.add(self._snapshot)

    def _begin(self, atoms: Atoms, number: int) -> None:
        options = self.options
        self._tensors = TrackedTensors(
            atoms, options.array, self.kind.name == "efg", species=options.species, indices=options.indices,
            frame=options.frame, jump=options.jump, check_units=options.check_units,
        )  # fmt: skip
        self.tracked, self.symbols, self.reference = self._tensors.tracked, self._tensors.symbols, atoms.copy()
        if options.pool and len(elements := sorted(set(self.symbols.tolist()))) > 1:
            raise InputError(
                f"pool=True averages atoms of one element, not {' and '.join(elements)}; choose species= "
                "(command line: --species), or pool=False",
                **place_of(atoms, number),
            )
        self.complete = True  # every atom was counted in every frame; only then are steps of frames times
        count = len(self.tracked)
        self.overall = BlockSums(count, self.kind.width + len(self.kind.nonlinear))
        self.tensor_correlation = Correlator(count, 9)
        self.frequency_correlation = Correlator(count, 1)

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
        self, rows: np.ndarray, present: np.ndarray, label: str | list[str] | None, place: dict[str, Any]
    ) -> None:
        if label is None and not self.options.pool:
            return
        labels = np.full(len(rows), label or "all") if isinstance(label, str | None) else np.array(label)
        for text in np.unique(labels[present]).tolist():
            if text not in self.by_label:
                if len(self.by_label) == MOST_LABELS:
                    raise InputError(
                        f"more than {MOST_LABELS} labels; label= must name a few phases or sites, not every frame",
                        **place,
                    )
                self.by_label[text] = BlockSums(1 if self.options.pool else len(rows), rows.shape[1])
            chosen = present & (labels == text)
            if self.options.pool:
                self.by_label[text].add(rows[chosen].mean(axis=0)[None])
            else:
                self.by_label[text].add(rows, chosen)

    def _sample(self, values: np.ndarray, present: np.ndarray, label: str | list[str] | None) -> None:
        """Keep the quantities of a frame."""
        labels = np.full(len(values), label) if isinstance(label, str | None) else np.array(label)
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
        functions = (self.kind.nonlinear[0].function,)
        tensors = self.kind.unpack(mean[:, :width])
        (right,), (gradient,) = values_and_gradients(functions, self.context, self.kind.name, tensors)
        error = self.overall.errors(widened(self.kind.pack_gradient(gradient), mean.shape[1])).error
        return Snapshot(*(np.where(counted, column, np.nan) for column in (right, error, mean[:, width])))


def quantities_of(kind: AveragedTensor, direction: Float[np.ndarray, "3"] | None) -> tuple[Quantity, ...]:
    """The quantities of single frames: nonlinear ones first, and those along the field if its direction is known."""
    known = (one for one in kind.linear if direction is not None or "direction" not in one.needs)
    return (*kind.nonlinear, *known)


def widened(gradient: Float[np.ndarray, "n components"], width: int) -> Float[np.ndarray, "n width"]:
    """A gradient with respect to the components as one with respect to the rows of the sums."""
    return np.pad(gradient, [(0, 0), (0, width - gradient.shape[1])])


def vectors(
    tensors: Float[np.ndarray, "n 3 3"], direction: Float[np.ndarray, "3"] | None
) -> Float[np.ndarray, "n width"]:
    """What is correlated: the nine components without their isotropic part, or along a direction n·V·n."""
    if direction is not None:
        return along(tensors, direction)[:, None]
    return (tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)).reshape(-1, 9)


def along(tensors: Float[np.ndarray, "n 3 3"], direction: Float[np.ndarray, "3"]) -> Float[np.ndarray, " n"]:
    """n·V·n."""
    return np.einsum("i,nij,j->n", direction, tensors, direction)
