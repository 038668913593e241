"""Posterior variance of fitted regressions: of each centre of a piece, or of a sum or mean over a structure.

It is computed in float64 even where the values are in float32, because it is a small difference of large numbers.
"""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.errors import InputError
from efg_jax.gp.basis import Features, featurise, gather
from efg_jax.gp.fitted_regressions import FittedRegressions
from efg_jax.gp.gaussian_process import posterior_covariance
from efg_jax.gp.irrep_regression import IrrepRegression
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.gp.sparse_columns import Reference
from efg_jax.gp.sparse_posterior import SparsePosterior, sparse_variance
from efg_jax.gp.target_kernels import cross_kernel_of_sum, kernel_of_sum
from efg_jax.models.predicted import Variance
from efg_jax.precision import x64
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.site_selection import select
from efg_jax.structures.targets import Target


class PieceVariance:
    """Variance of each centre of a piece, in the square of the target's unit.

    Args:
        fitted: regressions with their Cholesky factors (`require_factors`).
        of: True: summed over components; "isotropic": of the isotropic value.
    """

    largest = 128  # centres whose kernel with all training rows is in memory at a time

    def __init__(self, fitted: FittedRegressions, of: Variance = True):
        self._fitted, self._of = fitted, of
        self._on_device: dict[tuple[str, Irrep], tuple] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> Float[Array, " centres"]:
        regressions = self._fitted.of(symbol)
        with x64():
            features = featurise(self._fitted.descriptor, neighbours, tuple(dict.fromkeys((INVARIANT, *regressions))))
            return sum(
                self._traces(symbol, features, regression) * (regression.amplitude * regression.scale**2 * part)
                for regression, part in counted(regressions, self._fitted.target, self._of)
            )

    def _traces(self, symbol: str, features: Features, regression: IrrepRegression) -> Float[Array, " centres"]:
        """Trace of each centre's posterior covariance in units of the kernel."""
        irrep, zeta = regression.irrep, np.asarray(self._fitted.zeta)
        if (symbol, irrep) not in self._on_device:
            basis = self._fitted.bases[symbol]
            if regression.sparse is None:
                own = jax.device_put((basis.features[irrep], basis.invariants, regression.factor))
            else:
                own = Reference.of(basis, zeta), jax.device_put(regression.sparse)
            self._on_device[symbol, irrep] = own
        if regression.sparse is None:
            return posterior_traces(features, *self._on_device[symbol, irrep], zeta, irrep)
        return sparse_traces(features, *self._on_device[symbol, irrep], np.asarray(regression.noise), irrep)


def require_factors(fitted: FittedRegressions) -> None:
    """Check that the model was loaded with what its variance needs.

    Raises:
        InputError: it was not.
    """
    if not all(r.has_variance for by_irrep in fitted.by_group.values() for r in by_irrep.values()):
        raise InputError("the model was loaded without what its variance needs; use load(path, variance=True)")


def counted(
    regressions: Mapping[Irrep, IrrepRegression], target: Target, of: Variance
) -> list[tuple[IrrepRegression, float]]:
    """The regressions that a variance counts, and by what: of a tensor's isotropic value, λ = 0 by a third, since its
    component is √3 times a third of the trace.
    """
    if of != "isotropic":
        return [(regression, 1.0) for regression in regressions.values()]
    return [(regressions[INVARIANT], 1.0 / 3.0 if target.kind == "matrix" else 1.0)]


def variance_of_structure(fitted: FittedRegressions, atoms: Atoms, of: Variance = True) -> float:
    """Variance of a structure's target, the sum or mean over its centres: summed over components, or of the isotropic
    value.

    Padded centres have no features, so they add nothing to any kernel.
    """
    descriptor, zeta = fitted.descriptor, np.asarray(fitted.zeta)
    (regressions,) = fitted.by_group.values()
    variance = 0.0
    with x64():
        features = {
            symbol: featurise(descriptor, gather([atoms], descriptor, index), (INVARIANT, *fitted.target.irreps))
            for symbol in fitted.bases
            for index in [select([atoms], symbol)]
            if len(index[0])
        }
        contributing = int(np.isin(np.asarray(atoms.symbols), list(fitted.bases)).sum())
        for regression, part in counted(regressions, fitted.target, of):
            trace_of_sum = _dense_trace_of_sum if regression.sparse is None else _sparse_trace_of_sum
            trace = float(trace_of_sum(fitted, regression, features, zeta))
            variance += max(trace, 0.0) * regression.amplitude * regression.scale**2 * part
    return variance if fitted.target.extensive else variance / contributing**2


def _dense_trace_of_sum(fitted: FittedRegressions, regression: IrrepRegression, features, zeta) -> Float[Array, ""]:
    rows, irrep = len(regression.weights), regression.irrep
    cross = sum(cross_kernel_of_sum(fitted.bases[symbol], irrep, zeta, rows, f) for symbol, f in features.items())
    return _posterior_trace(regression.factor, cross, _prior_of_sum(features, irrep, zeta))


def _sparse_trace_of_sum(fitted: FittedRegressions, regression: IrrepRegression, features, zeta) -> Float[Array, ""]:
    irrep, components, columns = regression.irrep, 2 * regression.irrep[0] + 1, []
    for symbol, basis in fitted.bases.items():
        reference = Reference.of(basis, zeta)
        columns.append(
            reference.columns(features[symbol], irrep).sum(axis=0)
            if symbol in features
            else jnp.zeros((components, reference.width(fitted.descriptor, irrep)))
        )
    whole, prior = jnp.concatenate(columns, axis=-1), jnp.trace(_prior_of_sum(features, irrep, zeta))[None]
    return sparse_variance(whole, prior, regression.sparse, np.asarray(regression.noise), components)[0]


def _prior_of_sum(features, irrep: Irrep, zeta) -> Float[Array, "components components"]:
    return sum(kernel_of_sum(own, irrep, zeta) for own in features.values())


@jax.jit
def _posterior_trace(factor, cross, prior):
    return jnp.trace(posterior_covariance(factor, cross.reshape(cross.shape[0], -1).T, prior))


@partial(jax.jit, static_argnames="irrep")
def sparse_traces(
    features: Features, reference: Reference, posterior: SparsePosterior, noise: Float[Array, ""], irrep: Irrep
) -> Float[Array, " centres"]:
    """Trace of each centre's posterior covariance in units of the kernel, for a sparse model."""
    columns = reference.columns(features, irrep)
    rows = columns.reshape(-1, columns.shape[-1])
    return sparse_variance(rows, _prior(features, reference.zeta, irrep), posterior, noise, columns.shape[1])


@partial(jax.jit, static_argnames="irrep")
def posterior_traces(
    features: Features,
    training: Float[Array | np.ndarray, "train components features"],
    invariants: Float[Array | np.ndarray, "train invariants"],
    factor: Float[Array | np.ndarray, "n n"],
    zeta: Float[Array, ""],
    irrep: Irrep,
) -> Float[Array, " centres"]:
    """Trace of each centre's posterior covariance in units of the kernel, k** − ‖L⁻¹ k*‖², for a dense model.

    No pair of new centres is compared.
    """
    own, own_invariants = features[irrep], features[INVARIANT][:, 0]
    kernel = lambda_soap_kernel(own, jnp.asarray(training), own_invariants, jnp.asarray(invariants), zeta)
    centres, components = own.shape[:2]
    whitened = solve_triangular(jnp.asarray(factor), kernel.reshape(centres * components, -1).T, lower=True)
    explained = jnp.sum(whitened**2, axis=0).reshape(centres, components).sum(axis=1)
    return jnp.maximum(_prior(features, zeta, irrep) - explained, 0.0)


def _prior(features: Features, zeta: Float[Array, ""], irrep: Irrep) -> Float[Array, " centres"]:
    """Trace of each centre's kernel with itself."""
    invariant = jnp.maximum(jnp.sum(features[INVARIANT][:, 0] ** 2, axis=1), jnp.finfo(features[irrep].dtype).tiny)
    return jnp.sum(features[irrep] ** 2, axis=(1, 2)) * invariant ** (zeta - 1.0)
