"""What is averaged of an EFG or a shielding tensor: its components, and numbers that are not linear in them, with their gradients.

All in numpy on the host: a frame has few tensors, and a trajectory many frames.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.structures.targets import KNOWN

UPPER = (np.array([0, 1, 2, 0, 0, 1]), np.array([0, 1, 2, 1, 2, 2]))


class Principal(NamedTuple):
    """Principal values and axes (columns)."""

    values: Float[np.ndarray, "n 3"]
    axes: Float[np.ndarray, "n 3 3"]


class Number(NamedTuple):
    """A number of each tensor, and its gradient with respect to the tensor's elements (∂f = Σ G_ij ∂V_ij)."""

    value: Float[np.ndarray, " n"]
    gradient: Float[np.ndarray, "n 3 3"]


class FieldGradient:
    """EFG in V/Å²: V_zz with its sign, |V_zz|, η.

    Attributes:
        name, unit: of the target.
        width: number of components that are averaged.
        nonlinear: names of the numbers whose mean is not the number of the mean tensor.
    """

    name, unit, width = "efg", "V/Å²", 6
    nonlinear = ("v_zz", "abs_v_zz", "eta")

    def pack(self, tensors: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 6"]:
        """xx, yy, zz, xy, xz, yz."""
        return tensors[:, *UPPER]

    def unpack(self, components: Float[np.ndarray, "n 6"]) -> Float[np.ndarray, "n 3 3"]:
        """Inverse of `pack`."""
        tensors = np.empty((len(components), 3, 3))
        tensors[:, *UPPER] = tensors[:, *UPPER[::-1]] = components
        return tensors

    def pack_gradient(self, gradient: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 6"]:
        """Elements off the diagonal occur twice in the tensor."""
        return self.pack(gradient) * np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])

    def numbers(self, tensors: Float[np.ndarray, "n 3 3"]) -> dict[str, Number]:
        """V_zz, |V_zz| and η, by first-order perturbation theory: ∂V_ii = e_i·∂V·e_i."""
        values, axes = nqr_axes(tensors)
        x, y, z = dyads(axes)
        v_zz = values[:, 2]
        zero = v_zz == 0.0
        inverse = np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, v_zz))
        eta = (values[:, 0] - values[:, 1]) * inverse
        slope = (x - y - eta[:, None, None] * z) * inverse[:, None, None]
        return {
            "v_zz": Number(v_zz, z),
            "abs_v_zz": Number(np.abs(v_zz), np.sign(v_zz)[:, None, None] * z),
            "eta": Number(eta, slope),
        }


class Shielding:
    """Shielding in ppm, antisymmetric part included: Ω and κ (in the sense of shielding); attributes as of `FieldGradient`."""

    name, unit, width = "ms", "ppm", 9
    nonlinear = ("span", "skew")

    def pack(self, tensors: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 9"]:
        """Row by row."""
        return tensors.reshape(-1, 9)

    def unpack(self, components: Float[np.ndarray, "n 9"]) -> Float[np.ndarray, "n 3 3"]:
        """Inverse of `pack`."""
        return components.reshape(-1, 3, 3)

    def pack_gradient(self, gradient: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 9"]:
        """Row by row."""
        return gradient.reshape(-1, 9)

    def numbers(self, tensors: Float[np.ndarray, "n 3 3"]) -> dict[str, Number]:
        """Ω = σ_33 − σ_11 and κ = 3(σ_iso − σ_22)/Ω of the symmetric part."""
        values, axes = np.linalg.eigh(0.5 * (tensors + tensors.swapaxes(1, 2)))
        low, middle, high = dyads(axes)
        span = values[:, 2] - values[:, 0]
        zero = span == 0.0
        inverse = np.where(zero, 0.0, 1.0 / np.where(zero, 1.0, span))
        skew = 3.0 * (values.mean(axis=1) - values[:, 1]) * inverse
        slope = np.eye(3) - 3.0 * middle - skew[:, None, None] * (high - low)
        return {"span": Number(span, high - low), "skew": Number(skew, slope * inverse[:, None, None])}


Described = FieldGradient | Shielding


def kind_of(target: str) -> Described:
    """How a target is described.

    Raises:
        InputError: the target is neither an EFG nor a shielding.
    """
    if target == "ms":
        return Shielding()
    if target in KNOWN and KNOWN[target].is_efg:
        return FieldGradient()
    raise InputError(
        f"'{target}' is neither an EFG nor a shielding; take target='efg' or 'ms', and name the array of the files with array="
    )


def nqr_axes(tensors: Float[np.ndarray, "n 3 3"]) -> Principal:
    """Principal values and axes in NQR order, |V_zz| ≥ |V_yy| ≥ |V_xx|; of equal magnitudes the positive one comes last."""
    values, axes = np.linalg.eigh(tensors)
    order = np.argsort(np.abs(values), axis=-1, kind="stable")
    return Principal(np.take_along_axis(values, order, axis=-1), np.take_along_axis(axes, order[:, None, :], axis=-1))


def dyads(axes: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "3 n 3 3"]:
    """e eᵀ of each axis."""
    return np.einsum("nia,nja->anij", axes, axes)
