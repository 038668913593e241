"""Rotations of tensors, in Cartesian and in irreducible spherical form.

A rotation R is active: it takes the vector r to R r, the tensor T to R T Rᵀ, and spherical components v^λ to D^λ(R) v^λ, where the real
harmonics obey Y^l(R r) = D^l(R) Y^l(r). The basis is that of :mod:`efg_jax.tensors.irreps` (order 1 is (y, z, x)).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from efg_jax.errors import InputError
from efg_jax.tensors.orientation import rotation_from_quaternion

HIGHEST = jax.lax.Precision.HIGHEST


def random_rotation(key: PRNGKeyArray, dtype=float) -> Float[Array, "3 3"]:
    """A proper rotation drawn uniformly (Haar measure), from a normal quaternion (K. Shoemake, Graphics Gems III (1992) 124).

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

    Recursion in l, in the spirit of Ivanic and Ruedenberg (J. Phys. Chem. 100 (1996) 6342): Y^{l+1} is the stretched part of Y^l ⊗ Y^1, so
    D^{l+1} = C (D^l ⊗ D^1) Cᵀ with the Clebsch–Gordan coefficients C of l ⊗ 1 → l+1. No angle is taken, so there is no gimbal lock: each
    element is a polynomial of degree l in R, differentiable to any order. Rounding stays at a few ε for l ≤ 8.

    Args:
        rotation: orthogonal matrix. An improper one gives the harmonics' own parity, (−1)^l under inversion. The spherical parts of a
            rank-2 tensor are even for every λ: turn them with det(R)·R.
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
        couple = jnp.asarray(stretched_coupling(l), dtype=rotation.dtype)
        half = jnp.einsum("mak,...ab,...kj->...mbj", couple, matrix, first, precision=HIGHEST)
        matrix = jnp.einsum("...mbj,nbj->...mn", half, couple, precision=HIGHEST)
    return matrix


@functools.cache
def stretched_coupling(l: int) -> np.ndarray:
    """Clebsch–Gordan coefficients of l ⊗ 1 → l+1 in the real basis, C[M, m, k] with Σ_mk C[M,m,k] C[N,m,k] = δ_MN.

    Args:
        l: order of the first factor, 0 or more.

    Returns:
        Array [2l+3, 2l+1, 3], float64.
    """
    top = l + 1
    coefficients = np.zeros((2 * top + 1, 2 * l + 1, 3))
    for M in range(-top, top + 1):
        # Closed forms (Varshalovich, Table 8.2) for the second factor's m = −1, 0, 1; |M − m| ≤ l wherever they do not vanish.
        down, same, up = (l - M) * (l - M + 1), 2 * (l - M + 1) * (l + M + 1), (l + M) * (l + M + 1)
        for m, square in zip((-1, 0, 1), (down, same, up), strict=True):
            if abs(M - m) <= l:
                coefficients[M + top, M - m + l, m + 1] = np.sqrt(square / ((2 * l + 1) * (2 * l + 2)))
    real = np.einsum(
        "MN,Nab,ma,kb->Mmk",
        _real_from_complex(top),
        coefficients,
        _real_from_complex(l).conj(),
        _real_from_complex(1).conj(),
    )
    return np.ascontiguousarray(real.real)


def _real_from_complex(l: int) -> np.ndarray:
    """Unitary U with Y_real = U Y_complex, where Y_complex carries the Condon–Shortley phase and Y_real does not."""
    unitary = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    unitary[l, l] = 1.0
    for m in range(1, l + 1):
        phase = (-1.0) ** m
        unitary[l + m, l + m], unitary[l + m, l - m] = phase / np.sqrt(2.0), 1.0 / np.sqrt(2.0)
        unitary[l - m, l - m], unitary[l - m, l + m] = 1j / np.sqrt(2.0), -1j * phase / np.sqrt(2.0)
    return unitary
