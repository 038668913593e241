"""Cartesian rank-2 tensors as real irreducible spherical tensors of order 0, 1 and 2, and back.

The basis is real and orthonormal, so norms agree: ‖V‖_F² = Σ_λ ‖v^λ‖². Components run over m = −λ..λ in the order and
sign of real spherical harmonics without the Condon–Shortley phase, as TENSOAP and featomic have them (TENSOAP's λ = 0
carries a minus sign; ours does not):

    λ = 0:  Tr V / √3
    λ = 1:  (a_y, a_z, a_x), a_i = ε_ijk V_jk / √2, the antisymmetric part: a pseudovector, of even parity
    λ = 2:  √2 V_xy, √2 V_yz, (2V_zz − V_xx − V_yy)/√6, √2 V_xz, (V_xx − V_yy)/√2, with V symmetrised
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError

Irrep = tuple[int, int]
"""(order λ, parity): parity +1 for what turns into (−1)^λ of itself under inversion, −1 for pseudotensors."""
INVARIANT: Irrep = (0, 1)

HIGHEST = jax.lax.Precision.HIGHEST


def _cartesian_basis(order: int) -> np.ndarray:
    """Orthonormal 3×3 matrices B_m with v_m = Σ_ij B_m,ij V_ij, shape [2λ+1, 3, 3]."""
    x, y, z = 0, 1, 2
    basis = np.zeros((2 * order + 1, 3, 3))
    if order == 0:
        basis[0] = np.eye(3) / np.sqrt(3.0)
    elif order == 1:
        for m, (j, k) in enumerate([(z, x), (x, y), (y, z)]):
            basis[m, j, k], basis[m, k, j] = 1.0 / np.sqrt(2.0), -1.0 / np.sqrt(2.0)
    else:
        for m, (j, k) in {0: (x, y), 1: (y, z), 3: (x, z)}.items():
            basis[m, j, k] = basis[m, k, j] = 1.0 / np.sqrt(2.0)
        basis[2] = np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6.0)
        basis[4] = np.diag([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    return basis


_BASIS = {order: _cartesian_basis(order) for order in (0, 1, 2)}


def _basis(order: int) -> np.ndarray:
    if order not in _BASIS:
        raise InputError(
            f"a rank-2 tensor has irreducible parts of order 0, 1 and 2, not {order}; ask for one of these"
        )
    return _BASIS[order]


def to_spherical(tensor: Float[Array, "*batch 3 3"], order: int) -> Float[Array, "*batch 2*{order}+1"]:
    """Irreducible spherical components v_m = Σ_ij B_m,ij V_ij of one order (Grisafi et al., PRL 120 (2018) 036002).

    Args:
        tensor: Cartesian tensor, any unit; order 0 and 2 read its symmetric part alone, order 1 the antisymmetric one.
        order: λ, one of 0, 1, 2.

    Returns:
        Components m = −λ..λ in the tensor's unit.

    Raises:
        InputError: the order is not 0, 1 or 2.
    """
    basis = jnp.asarray(_basis(order), dtype=tensor.dtype)
    return jnp.einsum("...ij,mij->...m", tensor, basis, precision=HIGHEST)


def decompose(
    tensor: Float[Array, "*batch 3 3"], orders: Sequence[int] = (0, 1, 2)
) -> dict[int, Float[Array, "*batch _"]]:
    """All irreducible parts of a Cartesian tensor, {λ: v^λ}; see :func:`to_spherical`.

    Args:
        tensor: Cartesian tensor, any unit.
        orders: the orders wanted: (2,) for an EFG, (0, 1, 2) for a shielding tensor.

    Returns:
        One array of shape [*batch, 2λ+1] per order.
    """
    return {order: to_spherical(tensor, order) for order in orders}


def to_cartesian(components: Mapping[int, Float[Array, "*batch _"]]) -> Float[Array, "*batch 3 3"]:
    """Cartesian tensor V_ij = Σ_λm B^λ_m,ij v^λ_m, the inverse of :func:`decompose`; orders that are missing count as
    zero.

    Args:
        components: {λ: array [*batch, 2λ+1]}, one unit for all.

    Returns:
        Cartesian tensor in the same unit.

    Raises:
        InputError: no component at all, an order above 2, or a last axis that is not 2λ+1 long.
    """
    if not components:
        raise InputError("no irreducible components given; pass at least one order, such as {2: v}")
    parts = []
    for order, values in components.items():
        basis = _basis(order)
        if values.shape[-1] != 2 * order + 1:
            raise InputError(
                f"order {order} has {2 * order + 1} components, but the array's last axis is {values.shape[-1]} long"
            )
        parts.append(jnp.einsum("...m,mij->...ij", values, jnp.asarray(basis, dtype=values.dtype), precision=HIGHEST))
    return sum(parts[1:], start=parts[0])


def vector_to_spherical(vector: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """(x, y, z) → (y, z, x): a vector as λ = 1 components m = −1, 0, 1."""
    return jnp.roll(vector, -1, axis=-1)


def spherical_to_vector(components: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """(y, z, x) → (x, y, z): the inverse of :func:`vector_to_spherical`."""
    return jnp.roll(components, 1, axis=-1)
