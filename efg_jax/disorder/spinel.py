"""Cells of the spinel Li4Ti5O12: Li on 8a, Li and Ti on 16d, O on 32e of Fd-3m."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from jaxtyping import Int

from efg_jax.errors import InputError

LATTICE, OXYGEN = 8.36, 0.2625  # Å, and the free coordinate of 32e (origin at the centre of inversion)
CHARGES = {"Li": 1.0, "Ti": 4.0, "O": -2.0}
"""Formal charges, e."""

DISORDERED = ("Li", "Ti")
"""The species that share 16d."""

CELL_42 = ((1, -1, 0), (0, 1, -1), (1, 1, 1))
"""In primitive vectors: the smallest cell of composition Li4Ti5O12, rhombohedral, with 42 atoms."""

_CUBE = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])  # the cubic cell in primitive vectors


def build_lto(
    repeat: int | Sequence = 3,
    *,
    lithium: int | None = None,
    seed: int | None = 0,
    lattice: float = LATTICE,
    oxygen: float = OXYGEN,
) -> Atoms:
    """A spinel cell with Li and Ti placed at random on 16d.

    Args:
        repeat: number of cubic cells (56 atoms) along the axes, one or three: 3 gives the 1512 atoms of Harper et al.
            (2025). Or a 3×3 matrix of integers whose rows are cell vectors in primitive vectors: `CELL_42`.
        lithium: number of Li on 16d; None: that of Li4Ti5O12, a sixth of the sites.
        seed: seed of the random arrangement; None: Li on the first sites.
        lattice: length of the cubic cell, Å.
        oxygen: the free coordinate of 32e.

    Returns:
        Periodic atoms with ``arrays["site"]`` "8a", "16d" or "32e".

    Raises:
        InputError: the sites do not allow the composition, or the cell is not one.
    """
    atoms = make_supercell(_primitive(lattice, oxygen), _matrix(repeat))
    sites = np.flatnonzero(atoms.arrays["site"] == "16d")
    if lithium is None:
        if len(sites) % 6:
            raise InputError(
                f"Li4Ti5O12 has Li on a sixth of the 16d sites, and this cell has {len(sites)} of them; "
                "take cells in multiples of 3 along an axis, or give the number with lithium="
            )
        lithium = len(sites) // 6
    if not 0 <= lithium <= len(sites):
        raise InputError(
            f"{lithium} Li cannot be placed on {len(sites)} 16d sites; give lithium from 0 to {len(sites)}"
        )
    chosen = sites if seed is None else np.random.default_rng(seed).permutation(sites)
    atoms.symbols[chosen[:lithium]] = "Li"
    return atoms


def _matrix(repeat: int | Sequence) -> Int[np.ndarray, "3 3"]:
    given = np.asarray(repeat)
    if given.dtype.kind not in "iu" or given.shape not in ((), (3,), (3, 3)):
        raise InputError(f"repeat must be an integer, three integers or a 3×3 matrix of integers, got {repeat!r}")
    matrix = given if given.shape == (3, 3) else np.diag(np.broadcast_to(given, 3)) @ _CUBE
    if (given.shape != (3, 3) and (given < 1).any()) or round(abs(np.linalg.det(matrix))) == 0:
        raise InputError(f"repeat = {repeat!r} gives a cell without volume; give positive numbers or independent rows")
    return matrix


def _primitive(lattice: float, oxygen: float) -> Atoms:
    """The primitive cell of LiTi2O4: two 8a, four 16d, eight 32e."""
    if not lattice > 0:
        raise InputError(f"lattice must be a positive length in Å, got {lattice!r}")
    cell = 0.5 * lattice * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    u, v = oxygen, 0.25 - oxygen  # 32e: ±(u u u) and its images by the two-fold axes
    tetrahedral = [[0.125] * 3, [0.875] * 3]
    octahedral = [[0.5, 0.5, 0.5], [0.25, 0.75, 0.0], [0.75, 0.0, 0.25], [0.0, 0.25, 0.75]]
    anions = [[u, u, u], [v, v, u], [v, u, v], [u, v, v]]
    anions += [[-x for x in place] for place in anions]
    positions = lattice * np.array(tetrahedral + octahedral + anions)
    atoms = Atoms("Li2Ti4O8", positions=positions, cell=cell, pbc=True)
    atoms.wrap()
    atoms.set_array("site", np.array(["8a"] * 2 + ["16d"] * 4 + ["32e"] * 8))
    return atoms
