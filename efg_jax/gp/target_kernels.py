"""Kernels between targets: of single environments, or of sums or means over the environments of a structure."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.gp.basis import Basis, Features
from efg_jax.gp.kernels import lambda_soap_kernel

# Environments whose kernel rows are summed at a time where a target belongs to a structure.
_ROWS_AT_A_TIME = 256

_kernel = jax.jit(lambda_soap_kernel)


def shares_of(bases: Mapping[str, Basis], rows: int) -> Float[np.ndarray, " rows"]:
    """One over the number of environments of each target."""
    return 1.0 / sum(np.bincount(basis.rows, minlength=rows) for basis in bases.values())


def training_kernel(
    bases: Mapping[str, Basis], irrep: Irrep, zeta: float, rows: int, shares: Float[np.ndarray, " rows"] | None = None
) -> Float[Array, "n n"]:
    """Kernel matrix of the training targets, n = rows·(2λ+1), the components of each target one after the other.

    Args:
        bases: by species; environments of different species are not compared.
        irrep: (λ, parity).
        zeta: ζ.
        rows: number of targets.
        shares: what each environment counts in its target (`shares_of`); None: 1, the targets are sums.
    """
    if shares is not None:
        each = np.repeat(shares, 2 * irrep[0] + 1)
        return training_kernel(bases, irrep, zeta, rows) * (each[:, None] * each)
    zeta, components = np.asarray(zeta), 2 * irrep[0] + 1
    size = rows * components
    if len(bases) == 1 and _one_to_one(*bases.values(), rows):
        (basis,) = bases.values()
        p, invariants = jax.device_put((basis.features[irrep], basis.invariants))
        return _kernel(p, p, invariants, invariants, zeta).reshape(size, size)
    total = jnp.zeros((rows, components, rows, components))
    for basis in bases.values():
        p, invariants, owner = jax.device_put((basis.features[irrep], basis.invariants, basis.rows))
        for start in range(0, basis.size, _ROWS_AT_A_TIME):
            part = np.arange(start, min(start + _ROWS_AT_A_TIME, basis.size))
            total = _with_kernel(total, part, p, invariants, owner, zeta)
    return total.reshape(size, size)


def _one_to_one(basis: Basis, rows: int) -> bool:
    """Whether each environment is a target of its own."""
    return basis.size == rows and np.array_equal(basis.rows, np.arange(rows))


@partial(jax.jit, donate_argnums=0)
def _with_kernel(total, part, p, invariants, owner, zeta):
    """Add the kernel of some environments with all of their species to the rows and columns of their targets."""
    block = lambda_soap_kernel(p[part], p, invariants[part], invariants, zeta)
    summed = jax.ops.segment_sum(jnp.moveaxis(block, 2, 0), owner, total.shape[0])  # right, left, u, v
    return total.at[owner[part]].add(jnp.moveaxis(summed, 0, 2))


@partial(jax.jit, static_argnames="irrep")
def kernel_of_sum(features: Features, irrep: Irrep, zeta: Float[Array | np.ndarray, ""]) -> Float[Array, "_ _"]:
    """Kernel of a sum over environments with itself, (components, components)."""
    p, invariants = features[irrep], features[INVARIANT][:, 0]
    return lambda_soap_kernel(p, p, invariants, invariants, zeta).sum(axis=(0, 2))


def cross_kernel_of_sum(
    basis: Basis, irrep: Irrep, zeta: Float[Array | np.ndarray, ""], rows: int, features: Features
) -> Float[Array, "components rows components"]:
    """Kernel between a sum over environments and the training targets of their species."""
    training = basis.features[irrep], basis.invariants, basis.rows
    return _cross_kernel_of_sum(features, irrep, training, zeta, rows)


@partial(jax.jit, static_argnames=("irrep", "rows"))
def _cross_kernel_of_sum(features, irrep, training, zeta, rows):
    p, invariants, owner = training
    block = lambda_soap_kernel(features[irrep], p, features[INVARIANT][:, 0], invariants, zeta)
    return jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(block.sum(axis=0), 1, 0), owner, rows), 0, 1)
