"""Neighbours on the host: lists of chosen atoms, in blocks for large structures; bonds; the closest pair of atoms."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import minkowski_reduce
from jaxtyping import Float, Int
from matscipy.neighbours import neighbour_list
from scipy.spatial import cKDTree

BLOCK_ATOMS = 20_000  # their pairs take some tens of MB
FEW = 2  # below one centre in this many atoms it is faster to search around the centres alone


class Pairs(NamedTuple):
    """Centres of one structure and their neighbours within the cutoff, periodic images included."""

    centres: Int[np.ndarray, " centres"]  # indices of atoms
    row: Int[np.ndarray, " pairs"]  # into centres, ascending
    neighbour: Int[np.ndarray, " pairs"]  # indices of atoms
    shift: Int[np.ndarray, "pairs 3"]  # cell translation of the neighbour

    @property
    def count(self) -> Int[np.ndarray, " centres"]:
        """Number of neighbours of each centre."""
        return np.bincount(self.row, minlength=len(self.centres))

    @property
    def column(self) -> Int[np.ndarray, " pairs"]:
        """Number of each neighbour among those of its centre."""
        count = self.count
        return np.arange(len(self.row)) - np.repeat(np.cumsum(count) - count, count)

    def displacements(self, atoms: Atoms) -> Float[np.ndarray, "pairs 3"]:
        """Vectors from centres to neighbours, Å."""
        positions = atoms.positions
        return positions[self.neighbour] - positions[self.centres[self.row]] + self.shift @ atoms.cell.array


def neighbour_pairs(atoms: Atoms, centres: Int[np.ndarray, " centres"], cutoff: float) -> Pairs:
    """Neighbours of the centres, in their order.

    Any cell will do: oblique, smaller than the cutoff, periodic in 0 to 3 directions, atoms outside it.

    Args:
        atoms: one structure.
        centres: indices of atoms.
        cutoff: Å.
    """
    full = _with_full_cell(atoms)
    if 0 < len(centres) * FEW < len(atoms):
        return _pairs_of_few(full, np.asarray(centres), cutoff)
    i, j, shift = neighbour_list("ijS", full, cutoff)
    return _pairs_of(centres, i, j, shift, len(atoms))


def neighbour_blocks(
    atoms: Atoms, centres: Int[np.ndarray, " _"], cutoff: float, block: int = BLOCK_ATOMS
) -> Iterator[Pairs]:
    """Neighbours of the centres block by block, with memory for one block and time linear in the number of atoms.

    A large structure is cut into slabs across its longest direction. A slab is searched with a cutoff to either side,
    and with images by one cell translation where it is periodic. A structure of at most ``block`` atoms, or one
    too thin to be cut, is a single block.

    Args:
        atoms, centres, cutoff: as for `neighbour_pairs`.
        block: number of atoms in a slab.
    """
    if len(atoms) <= block or len(centres) == 0:
        yield neighbour_pairs(atoms, centres, cutoff)
        return
    slabs = _Slabs(_with_full_cell(atoms), cutoff)
    wanted = np.zeros(len(atoms), dtype=bool)
    wanted[centres] = True
    for start in range(0, len(atoms), block):
        members = slabs.order[start : start + block]
        own = members[wanted[members]]
        if len(own) == 0:
            continue
        pairs = slabs.pairs(members, own)
        if pairs is None:
            yield neighbour_pairs(atoms, centres, cutoff)
            return
        yield pairs


def bonded_pairs(
    symbols: Sequence[str], positions: Float[np.ndarray, "points 3"], scale: float
) -> list[tuple[int, int]]:
    """Pairs of points nearer to each other than ``scale`` times the sum of their covalent radii, without images.

    Args:
        symbols: element of each point.
        positions: Å.
        scale: usually a little above 1.
    """
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=-1)
    first, second = np.nonzero(distance < scale * (radii[:, None] + radii[None]))
    return [(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j]


def closest_pair(atoms: Atoms, within: float) -> tuple[int, int, float, bool] | None:
    """The closest pair of atoms nearer than ``within``, periodic images included; None where all are apart.

    An atom pairs with its own image (i = j) where a lattice vector is shorter than four times ``within``.

    Args:
        atoms: structure with finite positions and independent cell vectors in its periodic directions.
        within: distance in Å.

    Returns:
        i, j, their distance in Å, and whether it crosses a periodic boundary.
    """
    full = _with_full_cell(atoms)
    lattice = full.cell.array[full.pbc]
    # Cells so thin that many images would be needed are reduced. The heights of a reduced cell are at least 1/√2 of its
    # edges, so that a short lattice vector shows in the thickness.
    if len(lattice) and (1.0 / np.linalg.norm(np.linalg.pinv(lattice), axis=0)).min() < 4.0 * within:
        full.cell[full.pbc] = minkowski_reduce(full.cell.array, pbc=full.pbc)[0][full.pbc]
        shortest = float(full.cell.lengths()[full.pbc].min())
        if shortest < 4.0 * within:
            return 0, 0, shortest, True
    pairs = _pairs_of_few(full, np.arange(len(full)), within)
    if not len(pairs.row):
        return None
    distances = np.linalg.norm(pairs.displacements(full), axis=1)
    nearest = int(np.argmin(distances))
    i, j = sorted((int(pairs.row[nearest]), int(pairs.neighbour[nearest])))
    return i, j, float(distances[nearest]), bool(pairs.shift[nearest].any())


class _Slabs:
    """A structure in the order of its atoms along its longest direction."""

    def __init__(self, full: Atoms, cutoff: float):
        self.atoms, self.cutoff = full, cutoff
        inverse = np.linalg.inv(full.cell.array)
        heights = 1.0 / np.linalg.norm(inverse, axis=0)
        fractions = full.positions @ inverse
        extents = np.where(full.pbc, 1.0, np.ptp(fractions, axis=0)) * heights
        self.axis = int(np.argmax(extents))
        self.periodic = bool(full.pbc[self.axis])
        own = fractions[:, self.axis]
        self.wrap = -np.floor(own).astype(int) if self.periodic else np.zeros(len(own), dtype=int)
        self.fraction = own + self.wrap
        # A little more than the cutoff, so that rounding loses no neighbour.
        self.margin = cutoff / heights[self.axis] * (1.0 + 1e-9) + 1e-9
        self.order = np.argsort(self.fraction, kind="stable")
        self.ordered = self.fraction[self.order]

    def pairs(self, members: Int[np.ndarray, " _"], centres: Int[np.ndarray, " _"]) -> Pairs | None:
        """Neighbours of centres in one slab; None if the slab and its surroundings span the whole cell."""
        low = self.fraction[members[0]] - self.margin
        width = self.fraction[members[-1]] + self.margin - low
        if self.periodic and width >= 1.0:
            return None
        seen, image = self._within(low, low + width)
        steps = self.wrap[seen] + image
        cell, pbc = self.atoms.cell.array.copy(), self.atoms.pbc.copy()
        along = cell[self.axis].copy()
        cell[self.axis], pbc[self.axis] = along * width, False
        positions = self.atoms.positions[seen] + (steps - low)[:, None] * along
        part = Atoms(numbers=self.atoms.numbers[seen], positions=positions, cell=cell, pbc=pbc)
        i, j, shift = neighbour_list("ijS", part, self.cutoff)
        shift[:, self.axis] = steps[j] - steps[i]
        return _pairs_of(centres, seen[i], seen[j], shift, len(self.atoms))

    def _within(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Atoms in a window of less than one period, and the number of periods by which each is moved into it."""
        found = []
        for image in (-1, 0, 1) if self.periodic else (0,):
            first, last = np.searchsorted(self.ordered, [low - image, high - image])
            inside = self.order[first:last]
            found.append((inside, np.full(len(inside), image)))
        return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))


def _pairs_of_few(full: Atoms, centres: np.ndarray, cutoff: float) -> Pairs:
    """Neighbours of the centres, from a tree of all atoms and images that can be near one."""
    index, steps, fractions, wrap = _images(full, centres, cutoff)
    cell = full.cell.array
    everything = cKDTree((fractions[index] + steps) @ cell)
    found = cKDTree(fractions[centres] @ cell).sparse_distance_matrix(everything, cutoff, output_type="ndarray")
    found = found[np.argsort(found["i"], kind="stable")]
    row, neighbour = found["i"], index[found["j"]]
    shift = steps[found["j"]] + wrap[neighbour] - wrap[centres[row]]
    other = (neighbour != centres[row]) | shift.any(axis=1)
    return Pairs(centres, row[other], neighbour[other], shift[other])


def _images(full: Atoms, centres: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Atoms and images in a box around the centres, as index and cell translation.

    Also the scaled coordinates of all atoms in the cell, and the translations that brought them there.
    """
    inverse = np.linalg.inv(full.cell.array)
    fractions = full.positions @ inverse
    wrap = np.where(full.pbc, -np.floor(fractions), 0.0).astype(int)
    fractions = fractions + wrap
    # A little more than the cutoff, so that rounding loses no neighbour.
    margin = cutoff * np.linalg.norm(inverse, axis=0) * (1.0 + 1e-9) + 1e-9
    low, high = fractions[centres].min(axis=0) - margin, fractions[centres].max(axis=0) + margin
    index, steps = np.arange(len(full)), np.zeros((len(full), 3), dtype=int)
    for axis in range(3):
        along = fractions[index, axis]
        images = np.arange(np.floor(low[axis]), np.ceil(high[axis])) if full.pbc[axis] else np.zeros(1)
        place = along[:, None] + images
        kept, image = np.nonzero((place >= low[axis]) & (place <= high[axis]))
        index, steps = index[kept], steps[kept]
        steps[:, axis] += images[image].astype(int)
    return index, steps, fractions, wrap


def _pairs_of(centres: np.ndarray, i: np.ndarray, j: np.ndarray, shift: np.ndarray, atoms: int) -> Pairs:
    """The pairs whose first atom is a centre, sorted by centre."""
    row_of = np.full(atoms, -1)
    row_of[centres] = np.arange(len(centres))
    row = row_of[i]
    wanted = np.flatnonzero(row >= 0)
    order = wanted[np.argsort(row[wanted], kind="stable")]
    return Pairs(np.asarray(centres), row[order], j[order], shift[order])


def _with_full_cell(atoms: Atoms) -> Atoms:
    """The same atoms with three independent cell vectors, which matscipy needs even without periodicity."""
    full = Atoms(numbers=atoms.numbers, positions=atoms.positions, pbc=atoms.pbc, cell=atoms.cell.complete())
    if not atoms.pbc.any():
        full.cell = np.diag(np.ptp(atoms.positions, axis=0) + 1.0)
    return full
