"""Tensors of the same atoms in one frame after the other."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.crystal_frame import crystal_axes, has_crystal_frame
from efg_jax.structures.targets import place_of
from efg_jax.trajectories.continuity import Continuity
from efg_jax.trajectories.frame_labels import tensors_of, tracked_atoms


class TrackedTensors:
    """The tensors of the atoms that are followed; the first frame says which these are.

    Args:
        first: the first frame.
        array: name of the tensors.
        field_gradient: whether they are EFGs, and not shieldings.
        species, indices, frame, jump, check_units: as for `efg_jax.trajectories.average`.

    Attributes:
        tracked: indices of the atoms.
        symbols: their elements.

    Raises:
        InputError: there are no such atoms.
    """

    def __init__(
        self,
        first: Atoms,
        array: str,
        field_gradient: bool,
        *,
        species: str | Sequence[str] | None,
        indices: Sequence[int] | None,
        frame: Literal["fixed", "crystal"],
        jump: float | None,
        check_units: bool,
    ):
        self._array, self._field_gradient, self._crystal = array, field_gradient, frame == "crystal"
        self.tracked: Int[np.ndarray, " tracked"] = tracked_atoms(first, 0, array, species, indices)
        self.symbols = np.asarray(first.symbols)[self.tracked]
        self._continuity = Continuity(self.tracked, jump, self._crystal, check_units and field_gradient)

    def of(self, atoms: Atoms, number: int) -> tuple[Float[np.ndarray, "atoms 3"], Float[np.ndarray, "tracked 3 3"]]:
        """Positions of all atoms, followed across periodic boundaries (Å), and tensors of those that are tracked, in
        the fixed frame or that of the crystal.

        Raises:
            InputError: the frame does not belong to those before, or lacks a tensor.
        """
        positions = self._continuity.check(atoms, number)
        tensors = tensors_of(atoms, number, self._array, self.tracked, self._field_gradient)
        if self._field_gradient:
            self._continuity.check_units(tensors, atoms, number)
        if not self._crystal:
            return positions, tensors
        if not has_crystal_frame(atoms):
            raise InputError(
                "is no crystal: it is not periodic in three directions, or has no cell; average with frame='fixed'",
                **place_of(atoms, number),
            )
        axes = crystal_axes(atoms)
        return positions, axes @ tensors @ axes.T
