"""What is averaged of an EFG or a shielding: the components, and quantities that are not linear in them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.structures.targets import KNOWN
from efg_jax.tensors.quantities import QUANTITIES, Quantity

EFG, SHIELDING = QUANTITIES["efg"], QUANTITIES["shielding"]


@dataclass(frozen=True)
class AveragedTensor:
    """A target that is averaged.

    Attributes:
        name, unit: of the target.
        elements: rows and columns of the components that are averaged.
        nonlinear: quantities whose mean is not the quantity of the mean tensor.
        linear: the others; those along the field are left out where no direction is known.
    """

    name: str
    unit: str
    elements: tuple[tuple[int, ...], tuple[int, ...]]
    nonlinear: tuple[Quantity, ...]
    linear: tuple[Quantity, ...]

    @property
    def width(self) -> int:
        """Number of components that are averaged."""
        return len(self.elements[0])

    def pack(self, tensors: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n width"]:
        """The components."""
        return tensors[:, *self.elements]

    def unpack(self, components: Float[np.ndarray, "n width"]) -> Float[np.ndarray, "n 3 3"]:
        """Inverse of `pack`."""
        tensors = np.empty((len(components), 3, 3))
        tensors[:, *self.elements[::-1]] = components  # a symmetric tensor's other half
        tensors[:, *self.elements] = components
        return tensors

    def pack_gradient(self, gradient: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n width"]:
        """A derivative with respect to the elements as one with respect to the components."""
        rows, columns = self.elements
        twice = [
            (column, row) not in zip(rows, columns, strict=True) for row, column in zip(rows, columns, strict=True)
        ]
        return self.pack(gradient) * np.where(twice, 2.0, 1.0)


AVERAGED = {
    "efg": AveragedTensor(
        "efg",
        "V/Å²",
        ((0, 1, 2, 0, 0, 1), (0, 1, 2, 1, 2, 2)),
        (EFG["v_zz"], EFG["abs_v_zz"], EFG["eta"], EFG["strength_squared"]),
        (EFG["v_nn"],),
    ),
    "ms": AveragedTensor(
        "ms",
        "ppm",
        ((0, 0, 0, 1, 1, 1, 2, 2, 2), (0, 1, 2, 0, 1, 2, 0, 1, 2)),
        (SHIELDING["span"], SHIELDING["skew"]),
        (SHIELDING["sigma_iso"],),
    ),
}


def averaged_tensor(target: str) -> AveragedTensor:
    """How a target is averaged.

    Raises:
        InputError: the target is neither an EFG nor a shielding.
    """
    if target != "ms" and not (target in KNOWN and KNOWN[target].is_efg):
        raise InputError(
            f"'{target}' is neither an EFG nor a shielding; take target='efg' or 'ms', and name the array of the files "
            "with array="
        )
    return AVERAGED["ms" if target == "ms" else "efg"]
