"""Posterior variance of fitted regressions: of each centre of a piece, or of a sum over a structure."""

from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.errors import InputError
from efg_jax.gp.basis import Features, featurise, gather
from efg_jax.gp.columns import Reference
from efg_jax.gp.irrep_regression import Regression, cross_of_sum, prior_of_sum
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.gp.projected import Projected, projected_variance
from efg_jax.gp.regression import posterior_covariance
from efg_jax.precision import x64
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.site_selection import select

if TYPE_CHECKING:
    from efg_jax.gp.tensor_gpr import FittedTensorGPR

LARGEST = 128  # centres whose kernel with all training rows is held at a time


class PieceVariance:
    """Variance of each centre of a piece, summed over the target's components, in the square of the target's unit (float64).

    Args:
        fitted: the model.

    Raises:
        InputError: the model was loaded without its Cholesky factors.
    """

    largest = LARGEST

    def __init__(self, fitted: "FittedTensorGPR"):
        require_factors(fitted)
        self._descriptor, self._zeta, self._fitted = fitted.model.descriptor, fitted.model.zeta, fitted
        self._references: dict[tuple[str, Irrep], tuple] = {}  # on the device

    def __call__(self, symbol: str, neighbours: Neighbours) -> Float[Array, " centres"]:
        with x64():
            regressions = self._fitted.regressions[(symbol,)]
            features = featurise(self._descriptor, neighbours, tuple(dict.fromkeys((INVARIANT, *regressions))))
            return sum(
                self._traces(symbol, features, regression) * (regression.amplitude * regression.scale**2)
                for regression in regressions.values()
            )

    def _traces(self, symbol: str, features: Features, regression: Regression) -> Float[Array, " centres"]:
        """Trace of each centre's posterior covariance in units of the kernel."""
        irrep, zeta = regression.irrep, np.asarray(self._zeta)
        if regression.projected is None:
            return posterior_traces(features, *self._dense(symbol, irrep), zeta, irrep)
        reference, projected = self._sparse(symbol, irrep)
        return sparse_traces(features, reference, projected, np.asarray(regression.noise), irrep)

    def _dense(self, symbol: str, irrep: Irrep) -> tuple[Array, Array, Array]:
        if (symbol, irrep) not in self._references:
            basis, regression = self._fitted.bases[symbol], self._fitted.regressions[(symbol,)][irrep]
            self._references[symbol, irrep] = jax.device_put(
                (basis.features[irrep], basis.invariants, regression.factor)
            )
        return self._references[symbol, irrep]

    def _sparse(self, symbol: str, irrep: Irrep) -> tuple[Reference, Projected]:
        if (symbol, irrep) not in self._references:
            basis, regression = self._fitted.bases[symbol], self._fitted.regressions[(symbol,)][irrep]
            self._references[symbol, irrep] = Reference.of(basis, self._zeta), jax.device_put(regression.projected)
        return self._references[symbol, irrep]


def require_factors(fitted: "FittedTensorGPR") -> None:
    """Refuse a model that was loaded without what its variance needs."""
    if not all(r.knows_variance for by_irrep in fitted.regressions.values() for r in by_irrep.values()):
        raise InputError("the model was loaded without what the variance needs; use load(path, variance=True)")


def variance_of_structure(fitted: "FittedTensorGPR", atoms: Atoms) -> float:
    """Variance of a structure's target, the sum over its centres, summed over components.

    Padded centres have no features, so that they add nothing to any kernel.
    """
    descriptor = fitted.model.descriptor
    with x64():
        zeta = np.asarray(fitted.model.zeta)
        (regressions,) = fitted.regressions.values()
        features = {
            symbol: featurise(descriptor, gather([atoms], descriptor, index), (INVARIANT, *fitted.target.irreps))
            for symbol in fitted.bases
            for index in [select([atoms], symbol)]
            if len(index[0])
        }
        variance = 0.0
        for regression in regressions.values():
            prior = sum(prior_of_sum(f, regression.irrep, zeta) for f in features.values())
            if regression.projected is None:
                trace = _dense_trace(fitted.bases, regression, zeta, features, prior)
            else:
                trace = _sparse_trace(descriptor, fitted.bases, regression, zeta, features, prior)
            variance += max(float(trace), 0.0) * regression.amplitude * regression.scale**2
    return variance


def _dense_trace(bases, regression: Regression, zeta, features, prior) -> Float[Array, ""]:
    rows = len(regression.weights)
    cross = sum(cross_of_sum(bases[symbol], regression.irrep, zeta, rows, f) for symbol, f in features.items())
    return _posterior_trace(regression.factor, cross, prior)


@jax.jit
def _posterior_trace(factor, cross, prior):
    return jnp.trace(posterior_covariance(factor, cross.reshape(cross.shape[0], -1).T, prior))


def _sparse_trace(descriptor, bases, regression: Regression, zeta, features, prior) -> Float[Array, ""]:
    components = 2 * regression.irrep[0] + 1
    columns = []
    for symbol, basis in bases.items():
        reference = Reference.of(basis, zeta)
        columns.append(
            reference.columns(features[symbol], regression.irrep).sum(axis=0)
            if symbol in features
            else jnp.zeros((components, reference.width(descriptor, regression.irrep)))
        )
    whole, trace = jnp.concatenate(columns, axis=-1), jnp.trace(prior)[None]
    return projected_variance(whole, trace, regression.projected, np.asarray(regression.noise), components)[0]


@partial(jax.jit, static_argnames="irrep")
def sparse_traces(
    features: Features, reference: Reference, projected: Projected, noise: Float[Array, ""], irrep: Irrep
) -> Float[Array, " centres"]:
    """Trace of each centre's posterior covariance in units of the kernel, for a sparse model."""
    columns = reference.columns(features, irrep)
    rows = columns.reshape(-1, columns.shape[-1])
    return projected_variance(rows, _prior(features, reference.zeta, irrep), projected, noise, columns.shape[1])


def _prior(features: Features, zeta: Float[Array, ""], irrep: Irrep) -> Float[Array, " centres"]:
    """Trace of each centre's kernel with itself."""
    invariant = jnp.maximum(jnp.sum(features[INVARIANT][:, 0] ** 2, axis=1), jnp.finfo(features[irrep].dtype).tiny)
    return jnp.sum(features[irrep] ** 2, axis=(1, 2)) * invariant ** (zeta - 1.0)


@partial(jax.jit, static_argnames="irrep")
def posterior_traces(
    features: dict[Irrep, Float[Array, "centres _ _"]],
    training: Float[Array | np.ndarray, "train components features"],
    invariants: Float[Array | np.ndarray, "train invariants"],
    factor: Float[Array | np.ndarray, "n n"],
    zeta: Float[Array, ""],
    irrep: Irrep,
) -> Float[Array, " centres"]:
    """Trace of each centre's posterior covariance in units of the kernel, k** − ‖L⁻¹ k*‖²: no pair of centres is ever compared."""
    own, own_invariants = features[irrep], features[INVARIANT][:, 0]
    kernel = lambda_soap_kernel(own, jnp.asarray(training), own_invariants, jnp.asarray(invariants), zeta)
    centres, components = own.shape[:2]
    whitened = solve_triangular(jnp.asarray(factor), kernel.reshape(centres * components, -1).T, lower=True)
    explained = jnp.sum(whitened**2, axis=0).reshape(centres, components).sum(axis=1)
    return jnp.maximum(_prior(features, zeta, irrep) - explained, 0.0)
