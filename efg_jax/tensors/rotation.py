"""Rotations of tensors, in Cartesian and in irreducible spherical form.

A rotation R is active: it takes the vector r to R r, the tensor T to R T Rᵀ, and spherical components v^λ to D^λ(R)
v^λ, where the real harmonics obey Y^l(R r) = D^l(R) Y^l(r). The basis is that of :mod:`efg_jax.tensors.irreps` (order 1
is (y, z, x))."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from efg_jax.errors import InputError
from efg_jax.tensors.coupling import real_clebsch_gordan
from efg_jax.tensors.orientation import rotation_from_quaternion

HIGHEST = jax.lax.Precision.HIGHEST


def random_rotation(key: PRNGKeyArray, dtype=float) -> Float[Array, "3 3"]:
    """A proper rotation drawn uniformly (Haar measure), from a normal quaternion (K. Shoemake, Graphics Gems III (1992)
    124).

    Args:
        key: JAX random key; `jax.vmap` over split keys for many.
        dtype: floating type, JAX's default unless given.

    Returns:
        Rotation matrix.
    """
    return rotation_from_quaternion(jax.random.normal(key, (4,), dtype=dtype))


def rotate_cartesian(
    tensor: Float[Array, "*batch 3 3"], rotation: Float[Array, "... 3 3"]
) -> Float[Array, "*batch 3 3"]:
    """R T Rᵀ.

    Args:
        tensor: Cartesian tensor.
        rotation: one rotation per tensor, or one for all.

    Returns:
        The turned tensor, same unit.
    """
    return jnp.einsum("...ik,...kl,...jl->...ij", rotation, tensor, rotation, precision=HIGHEST)


def rotate_spherical(
    components: Float[Array, "*batch 2*{order}+1"], rotation: Float[Array, "... 3 3"], order: int
) -> Float[Array, "*batch 2*{order}+1"]:
    """D^λ(R) v: the spherical components of the turned tensor.

    Args:
        components: v^λ, m = −λ..λ.
        rotation: one proper rotation per tensor, or one for all.
        order: λ.

    Returns:
        ``to_spherical(rotate_cartesian(T, R), λ)`` if components were ``to_spherical(T, λ)``.
    """
    return jnp.einsum("...mn,...n->...m", wigner_d(rotation, order), components, precision=HIGHEST)


def wigner_d(rotation: Float[Array, "*batch 3 3"], order: int) -> Float[Array, "*batch 2*{order}+1 2*{order}+1"]:
    """Wigner matrix of real spherical harmonics, Y^l(R r) = D^l(R) Y^l(r), of any order.

    Recursion in l, in the spirit of Ivanic and Ruedenberg (J. Phys. Chem. 100 (1996) 6342): Y^{l+1} is the stretched
    part of Y^l ⊗ Y^1, so D^{l+1} = C (D^l ⊗ D^1) Cᵀ with the Clebsch–Gordan coefficients C of l ⊗ 1 → l+1. No angle is
    taken, so there is no gimbal lock: each element is a polynomial of degree l in R, differentiable to any order.
    Rounding stays at a few ε for l ≤ 8.

    Args:
        rotation: orthogonal matrix. An improper one gives the harmonics' own parity, (−1)^l under inversion. The
            spherical parts of a rank-2 tensor are even for every λ: turn them with det(R)·R.
        order: l, 0 or more.

    Returns:
        Orthogonal matrix, rows and columns m = −l..l.

    Raises:
        InputError: a negative order.
    """
    if order < 0:
        raise InputError(f"spherical harmonics have order 0, 1, 2, ..., not {order}")
    batch = rotation.shape[:-2]
    if order == 0:
        return jnp.ones((*batch, 1, 1), dtype=rotation.dtype)
    first = jnp.roll(rotation, (-1, -1), axis=(-2, -1))  # (x, y, z) → (y, z, x)
    matrix = first
    for l in range(1, order):
        couple = jnp.asarray(real_clebsch_gordan(l, 1, l + 1), dtype=rotation.dtype)
        half = jnp.einsum("mak,...ab,...kj->...mbj", couple, matrix, first, precision=HIGHEST)
        matrix = jnp.einsum("...mbj,nbj->...mn", half, couple, precision=HIGHEST)
    return matrix
