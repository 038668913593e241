"""A quantity of one tensor with its derivative, and how far the next kink is."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.observables.arrays import values_and_gradients
from efg_jax.tensors.quantities import QUANTITIES, Context, Kink, Quantity, require

ROUNDING = 64.0 * np.finfo(float).eps  # of a tensor's elements


class KinkDistance(NamedTuple):
    """How far a kink is.

    Attributes:
        kink: the kink.
        distance: of a number that is zero there (η, 1 − η, a gap between principal values).
        slope: ∂/∂T_ij of that number.
    """

    kink: Kink
    distance: float
    slope: Float[np.ndarray, "3 3"]


class Differentiated(NamedTuple):
    """A quantity of one tensor, and its derivative.

    Attributes:
        quantity: what it is.
        value: in its unit.
        slope: ∂f/∂T_ij, symmetric, and traceless for an EFG.
        kinks: where the derivative jumps.
    """

    quantity: Quantity
    value: float
    slope: Float[np.ndarray, "3 3"]
    kinks: tuple[KinkDistance, ...]

    @property
    def name(self) -> str:
        """As in the registry."""
        return self.quantity.name

    @property
    def unit(self) -> str:
        """Hz, V/Å², ppm, or none."""
        return self.quantity.unit

    @property
    def symbol(self) -> str:
        """As text."""
        return self.quantity.symbol


def differentiable(tensor: str) -> dict[str, Quantity]:
    """The quantities of an "efg" or an "ms" that have derivatives by their names: all but angles."""
    known = QUANTITIES["efg"]
    if tensor == "ms":
        known = QUANTITIES["shielding"] | {"delta_iso": QUANTITIES["shift"]["delta_iso"]}
    return {name: quantity for name, quantity in known.items() if quantity.unit != "rad"}


def differentiate(tensor: str, name: str, value: Float[np.ndarray, "3 3"], context: Context) -> Differentiated:
    """A quantity and its derivative.

    Args:
        tensor: "efg" or "ms".
        name: of the quantity.
        value: the tensor, V/Å² or ppm.
        context: nucleus, direction of the field, reference, as far as the quantity needs them.

    Raises:
        InputError: an unknown name; the context lacks something; the tensor is on a kink of the quantity.
    """
    known = differentiable(tensor)
    if name not in known:
        of_what = "an EFG" if tensor == "efg" else "a shielding"
        raise InputError(f"unknown quantity {name!r} of {of_what}; choose one of {', '.join(known)}")
    quantity = known[name]
    require(quantity, context)
    functions = (quantity.function, *(kink.distance for kink in quantity.kinks))
    values, slopes = values_and_gradients(functions, context, tensor, value[None])
    kinks = [
        KinkDistance(kink, float(distance[0]), slope[0])
        for kink, distance, slope in zip(quantity.kinks, values[1:], slopes[1:], strict=True)
    ]
    for kink, distance, slope in kinks:
        # Closer than the rounding of the tensor.
        if distance <= ROUNDING * np.linalg.norm(slope) * np.abs(value).max():
            instead = (
                f"take quantity='{kink.instead}', which has one" if kink.instead in known else "displace the atoms"
            )
            raise InputError(f"{kink.here}: {quantity.symbol} has no derivative; {instead}")
    return Differentiated(quantity, float(values[0][0]), slopes[0][0], tuple(kinks))
