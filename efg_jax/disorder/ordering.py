"""Ordered cells of a crystal whose sites are occupied in part or by several elements.

Small cells are enumerated up to symmetry, as by the SOD program (Grau-Crespo et al., J. Phys. Condens. Matter 19,
256201, 2007); of larger ones arrangements are drawn with equal probabilities.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from jaxtyping import Float, Int
from rich import box
from rich.table import Table

from efg_jax.disorder.arrangements import VACANT, Arrangements, Sublattice
from efg_jax.disorder.symmetry import orbits, site_permutations
from efg_jax.electrostatics.ewald import COULOMB, ewald_matrix
from efg_jax.errors import InputError
from efg_jax.structures.checks import check_frames
from efg_jax.structures.neighbour_lists import neighbour_pairs
from efg_jax.structures.occupancy import WHOLE, Occupancy, described, is_whole, occupancies
from efg_jax.structures.targets import place_of
from efg_jax.text import counted, render

logger = logging.getLogger(__name__)

MOST_ENUMERATED = 200_000
_LARGEST_CELL = 512  # multiples of the cell among which a supercell is looked for
_NOTES = ("occupancy", "spacegroup", "unit_cell", "source_file", "source_frame")
_COLUMNS = ("spacegroup_kinds", "occupancy", "occupancies", "sublattice")


class Composition(NamedTuple):
    """One sublattice of the ordered cells: equivalent sites, or sites of one kind in the file.

    Attributes:
        atom: index of its first atom in the disordered cell.
        sites: number of its sites in an ordered cell.
        wanted: occupancy in the disordered crystal, by element; "" is the vacant part.
        counts: number of sites that each occupies in an ordered cell.
    """

    atom: int
    sites: int
    wanted: Occupancy
    counts: dict[str, int]

    @property
    def reached(self) -> Occupancy:
        """Occupancy in the ordered cells."""
        return {species: count / self.sites for species, count in self.counts.items()}

    @property
    def deviation(self) -> float:
        """Largest difference between the two."""
        return max(abs(part - self.wanted[species]) for species, part in self.reached.items())


@dataclass(frozen=True, repr=False)
class OrderedCells:
    """Result of `order`. Prints as a table of the occupancies that were wanted and reached.

    Attributes:
        cells: ordered cells. Each has ``info["weight"]``, its share of all arrangements, and, where all are enumerated,
            ``info["multiplicity"]``, the number of arrangements that symmetry makes equal to it; with charges also
            ``info["ewald_energy"]``, eV.
        composition: of each sublattice that is disordered.
        arrangements: number of all arrangements of this composition.
        enumerated: whether the cells are all inequivalent arrangements; else they are drawn.
    """

    cells: list[Atoms]
    composition: list[Composition]
    arrangements: int
    enumerated: bool

    def table(self) -> Table:
        """Occupancies that were wanted and reached."""
        many = f"{self.arrangements:.3g}" if self.arrangements >= 10**6 else str(self.arrangements)
        kind = "all that symmetry leaves different" if self.enumerated else "drawn with equal probabilities"
        table = Table(
            title=f"{counted(len(self.cells), 'ordered cell')} of {many} arrangements, {kind}",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("site of atom", justify="right")
        table.add_column("sites", justify="right")
        for heading in ("wanted", "in a cell", "reached", "off by"):
            table.add_column(heading)
        for own in self.composition:
            counts = ", ".join(f"{count} {species or 'vacant'}" for species, count in own.counts.items())
            table.add_row(
                str(own.atom), str(own.sites), _said(own.wanted), counts, _said(own.reached), f"{own.deviation:.2g}"
            )
        return table

    def __repr__(self) -> str:
        return render(self.table())


def order(
    atoms: Atoms,
    *,
    supercell: int | Sequence = 1,
    count: int | None = None,
    seed: int = 0,
    min_distance: float | int = 0.8,
    tolerance: float | int = 0.05,
    charges: Mapping[str, float | int] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OrderedCells:
    """Ordered cells of a crystal with partial or mixed occupancies, as ASE reads it from a CIF.

    Sites that symmetry makes equivalent, or that are one kind in the file, form a sublattice. Each sublattice holds the
    whole numbers of atoms nearest to its occupancies. Its arrangements have equal weights: the file knows no
    short-range order, other than that of sites closer than ``min_distance``.

    Args:
        atoms: crystal with ``info["occupancy"]``, periodic in three directions.
        supercell: Multiples of the cell along the axes, one or three. In Python also a 3×3 matrix of integers, whose
            rows are the new vectors in terms of the old ones.
        count: Number of cells to draw at random, each from all arrangements with equal probability. Without it all
            arrangements are enumerated, and one is given of each set that symmetry makes equal.
        seed: Seed of the random arrangements; the same seed, the same cells.
        min_distance: Disordered sites nearer to each other than this, in Å, are never occupied together (split
            positions).
        tolerance: Largest difference between an occupancy and what the cell reaches. Beyond it the cell is refused.
        charges: Formal charge by element, e. The Ewald energy of unrelaxed, unscreened point charges then stands in
            ``info["ewald_energy"]`` (eV), and enumerated cells are sorted by it.
        progress: called with what is done and the total, from time to time.

    Returns:
        The cells, which pass `efg_jax.structures.check_frames`, and the composition that they reach.

    Raises:
        InputError: no site is disordered; the cell cannot hold the composition (the message names the smallest
            supercell that can); no arrangement keeps the atoms apart; there are too many arrangements to enumerate; an
            element lacks a charge, or the cell is charged.
    """
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        raise InputError(f"count must be a whole number from 1 on, or None to enumerate, got {count!r}")
    if not min_distance >= 0 or not tolerance >= 0:
        raise InputError(f"min_distance and tolerance must not be negative, got {min_distance!r} and {tolerance!r}")
    matrix = _matrix(supercell)
    parent = _with_sublattices(atoms)
    crystal = make_supercell(parent, matrix)
    composition = _composition(parent, crystal, matrix, tolerance)
    sites = np.flatnonzero(crystal.arrays["sublattice"] >= 0)
    rows = crystal.arrays["sublattice"][sites]
    sublattices = [
        Sublattice(tuple(own.counts), tuple(own.counts.values()), np.flatnonzero(rows == own.atom))
        for own in composition
    ]
    arrangements = Arrangements(sublattices, _too_close(crystal, sites, min_distance))
    if arrangements.total == 0:
        raise InputError(
            f"no arrangement of this composition keeps all atoms {min_distance:g} Å apart; take another supercell, a "
            "smaller min_distance, or check the occupancies of the split sites",
            **place_of(atoms, 0),
        )
    if count is None:
        chosen, multiplicity = _inequivalent(arrangements, crystal, sites, progress)
    else:
        random = Random(seed)
        chosen, multiplicity = [], None
        for number in range(count):
            chosen.append(arrangements[random.randrange(arrangements.total)])
            if progress is not None:
                progress(number + 1, count)
    species = np.full((len(chosen), len(crystal)), VACANT, dtype="U2")
    species[:] = np.asarray(crystal.symbols)
    for own in sublattices:
        species[:, sites[own.sites]] = np.array(own.species)[np.array(chosen)[:, own.sites]]
    energies = None if charges is None else _energies(crystal, species, charges)
    sequence = range(len(chosen)) if energies is None or count is not None else np.argsort(energies, kind="stable")
    cells = []
    for number in sequence:
        cell = _cell(crystal, species[number])
        if multiplicity is not None:
            cell.info["multiplicity"] = int(multiplicity[number])
        cell.info["weight"] = 1 / count if multiplicity is None else int(multiplicity[number]) / arrangements.total
        if energies is not None:
            cell.info["ewald_energy"] = float(energies[number])
        cells.append(cell)
    return OrderedCells(check_frames(cells), composition, arrangements.total, count is None)


def _matrix(supercell: int | Sequence) -> Int[np.ndarray, "3 3"]:
    given = np.asarray(supercell)
    whole = given.dtype.kind in "iu" and given.shape in ((), (3,), (3, 3))
    matrix = given if given.shape == (3, 3) else np.diag(np.broadcast_to(given, 3)) if whole else np.zeros((3, 3))
    if not whole or round(np.linalg.det(matrix)) == 0 or (given.ndim < 2 and (given < 1).any()):
        raise InputError(
            f"supercell must be a positive whole number, three of them, or a 3×3 matrix of them, got {supercell!r}"
        )
    return matrix


def _with_sublattices(atoms: Atoms) -> Atoms:
    """The crystal with ``arrays["sublattice"]``: the first atom of each one's sublattice, −1 for whole atoms.

    Sites that are always vacant are left out, and whole atoms are of the element that the file says.
    """
    place = place_of(atoms, 0)
    if not atoms.pbc.all() or abs(atoms.cell.volume) < 1e-6:
        raise InputError("is not periodic in three directions; give the crystal a cell", **place)
    _require_resolved(atoms)
    found = occupancies(atoms)
    atoms, found = atoms[[bool(site) for site in found]], [site for site in found if site]
    atoms.symbols = [max(site, key=site.get) for site in found]
    keys = [tuple(sorted((species, round(part, 3)) for species, part in site.items())) for site in found]
    colours = np.unique([repr(key) for key in keys], return_inverse=True)[1]
    disordered = np.array([not is_whole(site) for site in found])
    if not disordered.any():
        raise InputError("every site is occupied by one whole atom; there is nothing to order", **place)
    kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms)))
    sublattice = orbits(site_permutations(atoms, colours))
    for kind in np.unique(
        kinds
    ):  # sites of one kind belong together, even where the cell lacks the symmetry of the file
        same = np.isin(sublattice, sublattice[kinds == kind])
        sublattice[same] = sublattice[same].min()
    atoms.arrays["sublattice"] = np.where(disordered, sublattice, -1)
    atoms.info["_sites"] = found
    return atoms


def _require_resolved(atoms: Atoms) -> None:
    """Refuse what ASE's reader does not resolve.

    Of the atoms that share a site it keeps one, and each has the same note of all of them. It overlooks two atoms of
    one element (Fe²⁺ and Fe³⁺), and atoms that are given at equivalent but different coordinates.
    """
    notes = atoms.info.get("occupancy")
    if not isinstance(notes, Mapping) or "spacegroup_kinds" not in atoms.arrays:
        return
    kept = {str(kind) for kind in atoms.arrays["spacegroup_kinds"]}
    listed = Counter(repr(sorted(note.items())) for note in notes.values())
    present = Counter(repr(sorted(note.items())) for kind, note in notes.items() if str(kind) in kept)
    for note in notes.values():
        key = repr(sorted(note.items()))
        if not 0 < listed[key] <= present[key] * len(note):
            raise InputError(
                f"several of its atoms share a site, of which the reader made {described(note)}; give them the same "
                "coordinates, and each element once with its whole occupancy",
                **place_of(atoms, 0),
            )


def _composition(parent: Atoms, crystal: Atoms, matrix: np.ndarray, tolerance: float | int) -> list[Composition]:
    """What each sublattice holds, as near to the occupancies as whole numbers are."""
    numbers = Counter(parent.arrays["sublattice"].tolist())
    wanted = {atom: _with_vacancies(parent.info["_sites"][atom]) for atom in sorted(numbers) if atom >= 0}

    def in_cells(cells: int) -> list[Composition]:
        return [
            Composition(atom, cells * numbers[atom], site, _nearest(site, cells * numbers[atom]))
            for atom, site in wanted.items()
        ]

    def deviation(cells: int) -> float:
        return max(own.deviation for own in in_cells(cells))

    def smallest(allowed: float) -> int | None:
        return next((n for n in range(1, _LARGEST_CELL) if deviation(n) <= allowed + 1e-9), None)

    cells = len(crystal) // len(parent)
    found = in_cells(cells)
    off = max(found, key=lambda own: own.deviation)
    if off.deviation <= WHOLE:
        return found
    told = f"{_said(off.wanted)} on {counted(off.sites, 'site')} (of atom {off.atom}) can only be {_said(off.reached)}"
    if off.deviation > tolerance + 1e-9:
        better = f"no supercell of fewer than {_LARGEST_CELL} cells is nearer"
        if fitting := smallest(tolerance):
            better = f"the smallest supercell within {tolerance:g} has {fitting} cells, {_compact(parent, fitting)}"
        raise InputError(f"{told}; {better}; or allow more with tolerance", **place_of(parent, 0))
    exact = smallest(WHOLE)
    if exact:
        told += f"; the smallest supercell that has it exactly has {exact} cells, {_compact(parent, exact)}"
    logger.warning("%s", told)
    return found


def _with_vacancies(site: Occupancy) -> Occupancy:
    vacant = 1 - sum(site.values())
    return site if vacant <= WHOLE else {**site, VACANT: vacant}


def _nearest(site: Occupancy, sites: int) -> dict[str, int]:
    """Whole numbers nearest to the parts: those with the largest remainders are rounded up."""
    total = sum(site.values())
    exact = {species: part / total * sites for species, part in site.items()}
    counts = {species: int(value + 1e-9) for species, value in exact.items()}
    order = sorted(exact, key=lambda species: counts[species] - exact[species])
    for species in order[: sites - sum(counts.values())]:
        counts[species] += 1
    return counts


def _compact(parent: Atoms, cells: int) -> str:
    """Multiples along the axes whose product is the number of cells, for the most even lengths: "as 2 × 2 × 1"."""
    divisors = [n for n in range(1, cells + 1) if cells % n == 0]
    shapes = [(a, b, cells // (a * b)) for a, b in product(divisors, repeat=2) if cells % (a * b) == 0]
    shape = min(shapes, key=lambda shape: np.ptp(np.log(np.array(shape) * parent.cell.lengths())))
    return f"as {' × '.join(map(str, shape))}"


def _too_close(crystal: Atoms, sites: np.ndarray, min_distance: float | int) -> list[tuple[int, int]]:
    """Pairs of disordered sites nearer than this, as numbers among the sites."""
    if min_distance == 0:
        return []
    number = np.full(len(crystal), -1)
    number[sites] = np.arange(len(sites))
    pairs = neighbour_pairs(crystal, sites, min_distance)
    whole = pairs.neighbour[number[pairs.neighbour] < 0]
    if len(whole):
        row = int(np.argmax(number[pairs.neighbour] < 0))
        near = np.linalg.norm(pairs.displacements(crystal)[row])
        raise InputError(
            f"a disordered {crystal.symbols[sites[pairs.row[row]]]} site lies {near:.3g} Å from a whole "
            f"{crystal.symbols[whole[0]]} atom, nearer than min_distance ({min_distance:g} Å); correct the "
            "occupancies, or lower min_distance",
            **place_of(crystal, 0),
        )
    both = zip(pairs.row.tolist(), number[pairs.neighbour].tolist(), strict=True)
    return sorted({(min(pair), max(pair)) for pair in both})


def _inequivalent(
    arrangements: Arrangements, crystal: Atoms, sites: np.ndarray, progress: Callable[[int, int], None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """One of each set of arrangements that symmetry makes equal, and the size of each set.

    Arrangements are known by a sum of random 64-bit numbers, one for each species on each site. The smallest sum of all
    images of an arrangement tells its set; two sets share one with a probability of about 1e-9.
    """
    if arrangements.total > MOST_ENUMERATED:
        raise InputError(
            f"there are {arrangements.total:.3g} arrangements, too many to enumerate (at most {MOST_ENUMERATED}); draw "
            "some with count (command line: --count 20), or take a smaller supercell",
            **place_of(crystal, 0),
        )
    every = np.array(list(arrangements))
    colours = np.unique(np.column_stack([crystal.arrays["sublattice"], crystal.numbers]), axis=0, return_inverse=True)[
        1
    ]
    number = np.full(len(crystal), -1)
    number[sites] = np.arange(len(sites))
    permutations = np.unique(number[site_permutations(crystal, colours.ravel())[:, sites]], axis=0)
    codes = np.random.default_rng(0).integers(2**64, size=(len(sites), int(every.max()) + 1), dtype=np.uint64)
    lowest = np.full(len(every), np.iinfo(np.uint64).max, dtype=np.uint64)
    for done, permutation in enumerate(permutations, start=1):
        np.minimum(lowest, codes[permutation, every].sum(axis=1, dtype=np.uint64), out=lowest)
        if progress is not None:
            progress(done, len(permutations))
    _, first, multiplicity = np.unique(lowest, return_index=True, return_counts=True)
    sequence = np.argsort(first)
    return every[first[sequence]], multiplicity[sequence]


def _energies(crystal: Atoms, species: np.ndarray, charges: Mapping[str, float | int]) -> Float[np.ndarray, " cells"]:
    """Energy of unscreened point charges, eV."""
    if absent := sorted(set(species.ravel().tolist()) - {VACANT, *charges}):
        raise InputError(f"no charge is given for {', '.join(absent)}; add it to charges")
    known = {VACANT: 0.0, **charges}
    q = np.vectorize(lambda name: float(known[name]), otypes=[float])(species)
    if (whole := np.abs(q.sum(axis=1)).max()) > 1e-9:
        raise InputError(
            f"the ordered cell has a charge of {whole:+g} e, and a charged crystal has no defined energy; change the "
            "charges, or the supercell if its composition is off"
        )
    matrix = ewald_matrix(crystal, np.arange(len(crystal)))
    return 0.5 * COULOMB * np.einsum("ai,ij,aj->a", q, matrix, q, optimize=True)


def _cell(crystal: Atoms, species: np.ndarray) -> Atoms:
    """One ordered cell, without what belongs to the disordered one."""
    cell = crystal.copy()
    for name in _COLUMNS:
        cell.arrays.pop(name, None)
    for name in (*_NOTES, "_sites"):
        cell.info.pop(name, None)
    cell.symbols = np.where(species == VACANT, "X", species)
    return cell[species != VACANT]


def _said(site: Mapping[str, Any]) -> str:
    return described({species or "vacant": part for species, part in site.items()})
