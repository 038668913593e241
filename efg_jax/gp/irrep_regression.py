"""One Gaussian-process regression: an irrep of a target, learned from the environments of one or several species."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.gp.nystrom import refactored
from efg_jax.gp.projected import Projected
from efg_jax.gp.regression import (
    choose_regularisation,
    factorise,
    group_rows,
    log_marginal_likelihood,
    solve,
    spectrum,
)

logger = logging.getLogger(__name__)

# Environments whose kernel rows are summed at a time when a target belongs to a structure.
_ROWS_AT_A_TIME = 256


class Regression(eqx.Module):
    """A fitted regression y = mean·count + scale · Σ_j k*_j w_j of one irrep.

    One scalar scales all 2λ+1 components, and only λ = 0 is centred: anything else would break equivariance.
    """

    irrep: Irrep = eqx.field(static=True)
    # Of each training target, (K + ρ)⁻¹ y; of each inducing environment; or of each feature (a single component), species by species.
    weights: Float[np.ndarray, "rows components"]
    mean: float = eqx.field(static=True)  # λ = 0: mean target per contributing centre; else 0
    scale: float = eqx.field(static=True)  # root mean square of the centred targets
    regularisation: float = eqx.field(static=True)  # ρ over the kernel's mean diagonal
    noise: float = eqx.field(static=True)  # ρ itself
    amplitude: float = eqx.field(static=True)  # prior variance over scale²·K that maximises the marginal likelihood
    log_likelihood: float | None = eqx.field(
        static=True
    )  # log marginal likelihood of the scaled targets there; None: all are zero
    held_out_rms: float | None = eqx.field(static=True)  # of the search for ρ, in units of scale
    contracted: dict[str, Float[np.ndarray, "_ _"]] | None = None  # Σ_μ P_jμ w_jμ by species
    factor: Float[np.ndarray, "n n"] | None = None  # Cholesky factor; for the variance of a dense model only
    projected: Projected | None = None  # of a sparse model

    @property
    def knows_variance(self) -> bool:
        """Whether what the variance needs is at hand; files leave out what follows from the rest."""
        if self.projected is None:
            return self.factor is not None
        return self.projected.pivots is None or self.projected.space is not None

    def with_contraction(self, bases: Mapping[str, Basis]) -> "Regression":
        """The same with features and weights contracted: a prediction then costs one row of the λ = 0 kernel, whatever λ."""
        if self.projected is not None and self.projected.pivots is None:
            fields = self.weights.reshape(len(bases), 1, -1)
            return replace(self, contracted=dict(zip(bases, fields, strict=True)))
        contracted = {
            symbol: np.einsum("juf,ju->jf", basis.features[self.irrep], self.weights[basis.rows])
            for symbol, basis in bases.items()
        }
        return replace(self, contracted=contracted)


@jax.jit
def _kernel(left, right, left_invariants, right_invariants, zeta):
    return lambda_soap_kernel(left, right, left_invariants, right_invariants, zeta)


def training_kernel(
    bases: Mapping[str, Basis], irrep: Irrep, zeta: float, rows: int
) -> Float[Array, "rows components rows components"]:
    """Kernel between training targets: of environments, or summed over the environments of each structure.

    Args:
        bases: by species; environments of different species are not compared.
        irrep: (λ, parity).
        zeta: ζ.
        rows: number of targets.
    """
    zeta = np.asarray(zeta)
    if len(bases) == 1 and _one_to_one(*bases.values(), rows):
        (basis,) = bases.values()
        p, invariants = jax.device_put((basis.features[irrep], basis.invariants))
        return _kernel(p, p, invariants, invariants, zeta)
    components = 2 * irrep[0] + 1
    total = jnp.zeros((rows, components, rows, components))
    for basis in bases.values():
        p, invariants, owner = jax.device_put((basis.features[irrep], basis.invariants, basis.rows))
        for start in range(0, basis.size, _ROWS_AT_A_TIME):
            part = np.arange(start, min(start + _ROWS_AT_A_TIME, basis.size))
            total = _with_kernel(total, part, p, invariants, owner, zeta)
    return total


@partial(jax.jit, donate_argnums=0)
def _with_kernel(total, part, p, invariants, owner, zeta):
    """The kernel of some environments with all of their species, added to the rows and columns of the targets that own them."""
    block = lambda_soap_kernel(p[part], p, invariants[part], invariants, zeta)
    summed = jax.ops.segment_sum(jnp.moveaxis(block, 2, 0), owner, total.shape[0])  # right, left, u, v
    return total.at[owner[part]].add(jnp.moveaxis(summed, 0, 2))


def _one_to_one(basis: Basis, rows: int) -> bool:
    """Whether each environment is a target of its own."""
    return basis.size == rows and np.array_equal(basis.rows, np.arange(rows))


def scaled_targets(
    targets: Float[np.ndarray, "rows components"], contributions: Int[np.ndarray, " rows"], irrep: Irrep
) -> tuple[Float[np.ndarray, "rows components"], float, float]:
    """Targets as they are learned: centred (λ = 0 only) and over their root mean square; and that mean and scale."""
    mean = float(targets.sum() / contributions.sum()) if irrep == INVARIANT else 0.0
    centred = targets - mean * contributions[:, None]
    scale = float(np.sqrt(np.mean(centred**2))) or 1.0
    return centred / scale, mean, scale


def report_featureless(name: str, irrep: Irrep, required: bool) -> None:
    """Refuse environments without features of an irrep where that is all that is learned; else say what becomes of it."""
    if required:
        raise InputError(
            f"the environments of {name} have no features of λ = {irrep[0]}: no atom has a neighbour within the cutoff, or all sites "
            "are too symmetric; enlarge the cutoff"
        )
    logger.warning("%s: the sites are too symmetric for features of λ = %d; it is predicted as zero", name, irrep[0])


def indefinite(name: str, size: str, irrep: Irrep, regularisation: float, automatic: bool) -> InputError:
    """What to say of a matrix that cannot be factorised."""
    return InputError(
        f"the kernel matrix of {name} ({size}, λ = {irrep[0]}) is not positive definite with regularisation {regularisation:.1e}; "
        + ("give one, 1e-6 or more" if automatic else "raise it (1e-6 or more) or let it be found with 'auto'")
    )


def fit_regression(
    bases: Mapping[str, Basis],
    irrep: Irrep,
    targets: Float[np.ndarray, "rows components"],
    contributions: Int[np.ndarray, " rows"],
    groups: np.ndarray,
    zeta: float,
    regularisation: float | None,
    name: str,
    required: bool = True,
) -> Regression:
    """Fit one irrep.

    Args:
        bases: training environments by species, with features; `Basis.rows` says which target each contributes to.
        irrep: (λ, parity).
        targets: spherical components in the target's unit.
        contributions: number of environments that contribute to each target.
        groups: structure of each target, for the closed-form leave-one-structure-out residuals.
        zeta: ζ.
        regularisation: ρ over the kernel's mean diagonal; None: the one with the smallest held-out residuals.
        name: of what is learned, for messages.
        required: refuse environments without features of this irrep; else predict nothing for it (zero, or the mean).

    Raises:
        InputError: the kernel matrix is not positive definite.
    """
    rows, components = targets.shape
    scaled, mean, scale = scaled_targets(targets, contributions, irrep)
    y = jax.device_put(scaled.ravel())
    kernel = training_kernel(bases, irrep, zeta, rows).reshape(rows * components, rows * components)
    diagonal = float(_mean_diagonal(kernel))
    if not diagonal > 0:
        report_featureless(name, irrep, required)
        kernel, diagonal, regularisation, y = jnp.eye(y.size), 1.0, 1.0, jnp.zeros_like(y)
    held_out_rms = None
    automatic = regularisation is None
    if automatic:
        lines = group_rows(np.repeat(groups, components))
        regularisation, held_out_rms = choose_regularisation(*spectrum(kernel), y, lines)
        held_out_rms = held_out_rms if np.isfinite(held_out_rms) else None
    noise = float(regularisation * diagonal)
    factor, weights, amplitude, log_likelihood = _posterior(kernel, y, np.asarray(noise))
    if not np.isfinite(float(amplitude)):
        raise indefinite(name, f"{rows} targets", irrep, regularisation, automatic)
    return Regression(
        irrep=irrep,
        weights=np.asarray(weights).reshape(rows, components),
        mean=mean,
        scale=scale,
        regularisation=float(regularisation),
        noise=noise,
        amplitude=float(amplitude),
        log_likelihood=float(log_likelihood) if amplitude > 0 else None,
        held_out_rms=held_out_rms,
        factor=np.asarray(factor),
    ).with_contraction(bases)


@jax.jit
def _mean_diagonal(kernel):
    return jnp.mean(jnp.diag(kernel))


_factorise = jax.jit(factorise)


@jax.jit
def _posterior(kernel, targets, noise):
    """Factor, weights, and the amplitude s² of largest likelihood with the likelihood there; NaN where the kernel is not positive definite."""
    factor = factorise(kernel, noise)
    weights = solve(factor, targets)
    amplitude = jnp.dot(targets, weights) / targets.size
    # K → s²K leaves the weights' direction and shifts the determinant.
    scaled = factor * jnp.sqrt(jnp.where(amplitude > 0, amplitude, 1.0))
    return factor, weights, amplitude, log_marginal_likelihood(scaled, targets)


@partial(jax.jit, static_argnames="irrep")
def prior_of_sum(
    features: Mapping[Irrep, Float[Array, "centres _ _"]], irrep: Irrep, zeta: Float[Array | np.ndarray, ""]
) -> Float[Array, "components components"]:
    """Kernel of a sum over environments with itself."""
    p, invariants = features[irrep], features[INVARIANT][:, 0]
    return lambda_soap_kernel(p, p, invariants, invariants, zeta).sum(axis=(0, 2))


def cross_of_sum(
    basis: Basis,
    irrep: Irrep,
    zeta: Float[Array | np.ndarray, ""],
    rows: int,
    features: Mapping[Irrep, Float[Array, "centres _ _"]],
) -> Float[Array, "components rows components"]:
    """Kernel between a sum over environments and the training targets of their species."""
    return _cross_of_sum(features, irrep, basis.features[irrep], basis.invariants, zeta, basis.rows, rows)


@partial(jax.jit, static_argnames=("irrep", "rows"))
def _cross_of_sum(features, irrep, training, training_invariants, zeta, owner, rows):
    block = lambda_soap_kernel(features[irrep], training, features[INVARIANT][:, 0], training_invariants, zeta)
    return jnp.moveaxis(jax.ops.segment_sum(jnp.moveaxis(block.sum(axis=0), 1, 0), owner, rows), 0, 1)


def refactorised(regression: Regression, bases: Mapping[str, Basis], zeta: float) -> Regression:
    """The same regression with what its variance needs and files leave out."""
    if regression.projected is not None and regression.projected.pivots is None:
        return regression
    rows, components = regression.weights.shape
    kernel = training_kernel(bases, regression.irrep, zeta, rows).reshape(rows * components, rows * components)
    if regression.projected is not None:
        space = refactored(np.asarray(kernel), regression.projected.pivots)
        return replace(regression, projected=replace(regression.projected, space=space))
    return replace(regression, factor=np.asarray(_factorise(kernel, np.asarray(regression.noise))))
