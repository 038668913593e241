"""Labels in standard units, as a network learns them: irreducible parts of size one, scalars with mean zero."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.errors import InputError
from efg_jax.network.heads import Parts
from efg_jax.structures.targets import NEGLIGIBLE, Target, labels, to_irreps


class Standard(eqx.Module):
    """Units of one target: a scale for each part and element, and a mean of λ = 0.

    Only λ = 0 is centred: a mean of other components would break equivariance. The scale of a part is the root mean
    square of all its components.
    """

    scale: dict[Irrep, Float[np.ndarray, " species"]]  # in the target's unit; 1 for elements without labels
    mean: Float[np.ndarray, " species"]  # of λ = 0, in the target's unit
    labelled: tuple[bool, ...] = eqx.field(static=True)  # whether the element has labels

    @classmethod
    def of(
        cls, target: Target, structures: Sequence[Atoms], species: Sequence[str], wanted: Sequence[str] | None
    ) -> "Standard":
        """Units from the labels of a training set.

        Args:
            target: of the labels.
            structures: with labels.
            species: elements that the network knows.
            wanted: elements whose labels count; None: all that have any.

        Raises:
            InputError: no labels of any of these elements.
        """
        scale = {irrep: np.ones(len(species)) for irrep in target.irreps}
        mean, found = np.zeros(len(species)), np.zeros(len(species), dtype=bool)
        for row, symbol in enumerate(species):
            if wanted is not None and symbol not in wanted:
                continue
            values = labels(structures, target, symbol)
            values = values[np.isfinite(values).all(axis=tuple(range(1, values.ndim)))]  # of an absent element none
            if not len(values):
                continue
            found[row] = True
            parts = to_irreps(target, values)
            largest = max(np.abs(part).max() for part in parts.values())
            for irrep, part in parts.items():
                if irrep == INVARIANT:
                    mean[row] = part.mean()
                    part = part - mean[row]
                size = np.sqrt(np.mean(part**2))
                # A part that varies by rounding errors only must not be scaled up.
                scale[irrep][row] = size if size > NEGLIGIBLE * largest else 1.0
        if not found.any():
            raise InputError(f"no atom carries '{target.name}'; pass structures that have labels")
        return cls(scale, mean, tuple(map(bool, found)))

    def extended(self, other: "Standard") -> "Standard":
        """These units, with those of another standard (of the same species and irreps) for elements without any."""
        own = np.array(self.labelled)
        return Standard(
            {irrep: np.where(own, scale, other.scale[irrep]) for irrep, scale in self.scale.items()},
            np.where(own, self.mean, other.mean),
            tuple(map(bool, own | np.array(other.labelled))),
        )

    def standardised(self, parts: Mapping[Irrep, np.ndarray], species: np.ndarray) -> Parts:
        """Irreducible parts (atoms, 2λ+1) in these units; ``species`` are indices of the atoms' elements."""
        return {
            irrep: (part - (self.mean[species, None] if irrep == INVARIANT else 0.0)) / self.scale[irrep][species, None]
            for irrep, part in parts.items()
        }

    def restored(self, parts: Mapping[Irrep, Any], species: Any) -> dict[Irrep, Any]:
        """The inverse of `standardised`; of JAX arrays too."""
        restored = {}
        for irrep, part in parts.items():
            value = part * self._of(self.scale[irrep], species, part)
            restored[irrep] = value + self._of(self.mean, species, part) if irrep == INVARIANT else value
        return restored

    @staticmethod
    def _of(values, species, like):
        """The value of each atom's element, as a column of the same kind of array."""
        library = jnp if isinstance(like, jax.Array) else np
        return library.asarray(values, dtype=like.dtype)[species][:, None]

    def pack(self) -> dict[str, np.ndarray]:
        """Arrays by name; `unpack` is the inverse."""
        arrays = {f"scale/{order}/{parity}": values for (order, parity), values in self.scale.items()}
        return arrays | {"mean": self.mean, "labelled": np.array(self.labelled)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray], irreps: Sequence[Irrep]) -> "Standard":
        """Inverse of `pack`."""
        scale = {irrep: arrays[f"scale/{irrep[0]}/{irrep[1]}"] for irrep in irreps}
        return cls(scale, arrays["mean"], tuple(map(bool, arrays["labelled"])))
