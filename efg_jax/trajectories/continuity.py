"""Checks that the frames of a trajectory belong together: same atoms and order, same orientation, same unit."""

from collections import Counter

import numpy as np
from ase import Atoms
from ase.geometry import complete_cell, find_mic
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.checks import name_atom
from efg_jax.structures.crystal_frame import TURN, crystal_axes, turn_between
from efg_jax.structures.targets import place_of
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT

JUMP = 1.5
"""Å; two atoms of an oxide, an ice or an alloy are farther apart than this, so that who changes places with another
jumps farther.
"""

# Factors by which one unit of an EFG is mistaken for another: a.u. against V/Å², V/m² against V/Å², a.u. against V/m².
FACTORS = {
    "a.u. and V/Å²": V_PER_ANGSTROM2_PER_ATOMIC_UNIT,
    "V/Å² and V/m²": 1e20,
    "a.u. and V/m²": 1e20 * V_PER_ANGSTROM2_PER_ATOMIC_UNIT,
}
WINDOW = 1.7  # a mean magnitude that is off by one of these, up to this factor, is another unit
LEAST_MAGNITUDE = 1e-6  # V/Å²; below it a tensor vanishes by symmetry, and has no unit to see


class Continuity:
    """What the frames so far have in common; `check` compares the next one with it, and unwraps its atoms.

    Args:
        tracked: indices of the atoms whose tensors are averaged.
        jump: Å that one of them may move from one frame to the next, across periodic boundaries the shorter way; None:
            any.
        turning: the cell may turn.
        units: the magnitude of the EFG is compared with that of the frames before.
    """

    def __init__(self, tracked: Int[np.ndarray, " tracked"], jump: float | None, turning: bool, units: bool):
        self._tracked, self._jump, self._turning, self._units = tracked, jump, turning, units
        self._first: Atoms | None = None
        self._square, self._frames = 0.0, 0

    def check(self, atoms: Atoms, number: int) -> Float[np.ndarray, "atoms 3"]:
        """Compare a frame with those before.

        Returns:
            Positions of all atoms, Å, followed across periodic boundaries from where they were in the first frame.

        Raises:
            InputError: other elements, another order, an atom that jumped, a cell that turned.
        """
        if self._first is None:
            self._first, self._place = atoms.copy(), place_of(atoms, number)
            self._axes, self._cell = crystal_axes(atoms), atoms.cell.array.copy()
            self._unwrapped, self._wrapped = atoms.positions.copy(), atoms.positions.copy()
            return self._unwrapped.copy()
        self._check_elements(atoms, number)
        self._check_cell(atoms, number)
        step = self._steps(atoms)
        if self._jump is not None:
            self._check_jumps(atoms, number, step)
        self._unwrapped = self._unwrapped @ self._deformation(atoms) + step
        self._wrapped, self._cell = atoms.positions.copy(), atoms.cell.array.copy()
        return self._unwrapped.copy()

    def check_units(self, tensors: Float[np.ndarray, "tracked 3 3"], atoms: Atoms, number: int) -> None:
        """Compare the magnitude of a frame's EFG (root mean square over the tracked atoms) with that of the frames
        before.

        Raises:
            InputError: it differs by a factor between two units.
        """
        if not self._units:
            return
        square = float(np.mean(np.sum(tensors**2, axis=(1, 2))))
        if self._frames and min(square, self._square) > LEAST_MAGNITUDE**2:
            ratio = np.sqrt(square / self._square)
            for units, factor in FACTORS.items():
                if abs(np.log(max(ratio, 1.0 / ratio) / factor)) < np.log(WINDOW):
                    raise InputError(
                        f"the EFG is {ratio:.3g} times that of the frames before (root mean square), as {units} "
                        "differ by "
                        f"{factor:.4g}: mixed units; convert all files to V/Å², or pass check_units=False (command "
                        "line: "
                        "--any-units) if the values are right",
                        **place_of(atoms, number),
                    )
        self._frames += 1
        self._square += (square - self._square) / self._frames

    def _check_elements(self, atoms: Atoms, number: int) -> None:
        first, place = self._first, place_of(atoms, number)
        if np.array_equal(atoms.numbers, first.numbers):
            return
        counts, before = Counter(atoms.symbols), Counter(first.symbols)
        if counts != before:
            raise InputError(
                f"consists of {atoms.symbols.formula.format('hill')}, and {_named(self._place)} of "
                f"{first.symbols.formula.format('hill')}; average trajectories of one composition, one at a time",
                **place,
            )
        i = int(np.argmax(atoms.numbers != first.numbers))
        raise InputError(
            f"is {atoms.symbols[i]} here and {first.symbols[i]} in {_named(self._place)}: the atoms are permuted; "
            "write all "
            "frames in one order (sorted by the identifiers of the simulation)",
            atom=name_atom(atoms, i),
            **place,
        )

    def _check_cell(self, atoms: Atoms, number: int) -> None:
        if not np.array_equal(atoms.pbc, self._first.pbc):
            raise InputError(
                f"is periodic along other directions than {_named(self._place)}", **place_of(atoms, number)
            )
        if self._turning or np.array_equal(atoms.cell.array, self._cell):
            return
        angle = turn_between(crystal_axes(atoms), self._axes)
        if angle > TURN:
            raise InputError(
                f"the cell is turned by {np.degrees(angle):.3g}° against {_named(self._place)}, and its tensors "
                "with it: they "
                "have no mean in the fixed frame; pass frame='crystal' (command line: --frame crystal)",
                **place_of(atoms, number),
            )

    def _deformation(self, atoms: Atoms) -> Float[np.ndarray, "3 3"]:
        """What takes positions in the last cell to those of the same fractional coordinates in this one."""
        if not atoms.pbc.any() or np.array_equal(atoms.cell.array, self._cell):
            return np.eye(3)
        return np.linalg.inv(_complete(self._cell)) @ _complete(atoms.cell.array)

    def _steps(self, atoms: Atoms) -> Float[np.ndarray, "atoms 3"]:
        """Displacements since the last frame, the shorter way across periodic boundaries, in the present cell."""
        moved = atoms.positions - self._wrapped @ self._deformation(atoms)
        if not atoms.pbc.any():
            return moved
        cell = _complete(atoms.cell.array)
        moved -= np.where(atoms.pbc, np.round(moved @ np.linalg.inv(cell)), 0.0) @ cell
        # Rounding finds the nearest image of what moved less than half the smallest height of the cell; the others are
        # few.
        heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        far = np.linalg.norm(moved, axis=1) > 0.5 * heights[atoms.pbc].min()
        if far.any():
            moved[far] = find_mic(moved[far], cell, atoms.pbc)[0]
        return moved

    def _check_jumps(self, atoms: Atoms, number: int, step: np.ndarray) -> None:
        lengths = np.linalg.norm(step[self._tracked], axis=1)
        if lengths.max() <= self._jump:
            return
        i = int(self._tracked[np.argmax(lengths)])
        raise InputError(
            f"moved by {lengths.max():.3g} Å since the frame before, more than {self._jump:g} Å: either atoms "
            "changed places "
            "in the file (write all frames in one order), or frames are far apart in time (pass jump=None, or a longer "
            "distance; command line: --jump any)",
            atom=name_atom(atoms, i),
            **place_of(atoms, number),
        )


def _complete(cell: np.ndarray) -> np.ndarray:
    """The cell with orthogonal unit vectors in the place of those that are zero."""
    return complete_cell(cell)


def _named(place: dict) -> str:
    return ", ".join([*([place["file"]] if "file" in place else []), f"frame {place['frame']}"])
