"""A fitted Gaussian-process regression of one irrep, dense or sparse."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Float

from efg_jax.descriptors import Irrep
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis
from efg_jax.gp.gaussian_process import factorise
from efg_jax.gp.labelled_structures import LabelledStructures
from efg_jax.gp.nystrom import refactored
from efg_jax.gp.sparse_posterior import SparsePosterior
from efg_jax.gp.target_kernels import shares_of, training_kernel

logger = logging.getLogger(__name__)


class IrrepRegression(eqx.Module):
    """A fitted regression y = mean·count + scale · Σ_j k*_j w_j of one irrep.

    k*_j is the kernel with the sum over the environments of target j. Where targets are means, weights and factor take
    the division by their number along: with D = diag(1/number), w = D (D K D + ρ)⁻¹ y and L = D⁻¹ chol(D K D + ρ).

    Attributes:
        irrep: (λ, parity).
        weights: (K + ρ)⁻¹ y of each training target; or of each inducing environment; or of each feature of a primal
            model (a single component), species by species.
        mean, scale: see `IrrepTargets`.
        regularisation: ρ over the kernel's mean diagonal.
        noise: ρ, in units of the kernel.
        amplitude: prior variance over scale²·K that maximises the marginal likelihood.
        log_likelihood: log marginal likelihood of the scaled targets there; None: all are zero.
        held_out_rms: held-out residual of the search for ρ, in units of the scale; None: ρ was given.
        contracted: Σ_μ P_jμ w_jμ by species.
        factor: Cholesky factor, for the variance of a dense model.
        sparse: posterior of a sparse model; None: dense.
    """

    irrep: Irrep = eqx.field(static=True)
    weights: Float[np.ndarray, "rows components"]
    mean: float = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    regularisation: float = eqx.field(static=True, converter=float)
    noise: float = eqx.field(static=True)
    amplitude: float = eqx.field(static=True)
    log_likelihood: float | None = eqx.field(static=True)
    held_out_rms: float | None = eqx.field(
        static=True, converter=lambda rms: rms if rms is not None and np.isfinite(rms) else None
    )
    contracted: dict[str, Float[np.ndarray, "_ _"]] | None = None
    factor: Float[np.ndarray, "n n"] | None = None
    sparse: SparsePosterior | None = None

    @property
    def is_primal(self) -> bool:
        """Whether it is a regression on features, without environments to compare with."""
        return self.sparse is not None and self.sparse.pivots is None

    @property
    def has_variance(self) -> bool:
        """Whether everything for the variance is there; files leave out what follows from the rest."""
        return self.factor is not None if self.sparse is None else self.is_primal or self.sparse.space is not None

    def with_contraction(self, bases: Mapping[str, Basis]) -> "IrrepRegression":
        """The same with weights and features contracted: a prediction costs one row of the λ = 0 kernel, for any λ."""
        if self.is_primal:
            fields = self.weights.reshape(len(bases), 1, -1)
            return replace(self, contracted=dict(zip(bases, fields, strict=True)))
        contracted = {
            symbol: np.einsum("juf,ju->jf", basis.features[self.irrep], self.weights[basis.rows])
            for symbol, basis in bases.items()
        }
        return replace(self, contracted=contracted)

    def with_variance(self, bases: Mapping[str, Basis], zeta: float, extensive: bool) -> "IrrepRegression":
        """The same with what the variance needs and files leave out; ``extensive`` as of the target."""
        if self.is_primal:
            return self
        rows = len(self.weights)
        if self.sparse is not None:
            kernel = training_kernel(bases, self.irrep, zeta, rows)
            space = refactored(np.asarray(kernel), self.sparse.pivots)
            return replace(self, sparse=replace(self.sparse, space=space))
        shares = np.ones(rows) if extensive else shares_of(bases, rows)
        kernel = training_kernel(bases, self.irrep, zeta, rows, shares)
        factor = np.asarray(_factorise(kernel, np.asarray(self.noise)))
        return replace(self, factor=factor / np.repeat(shares, 2 * self.irrep[0] + 1)[:, None])


_factorise = jax.jit(factorise)


def report_featureless(found: LabelledStructures, irrep: Irrep) -> None:
    """Refuse environments without features of an irrep if nothing else is learned; otherwise warn."""
    if len(found.target.irreps) == 1:
        raise InputError(
            f"the environments of {found.name} have no features of λ = {irrep[0]}: no atom has a neighbour within the "
            "cutoff, or all sites are too symmetric; enlarge the cutoff"
        )
    logger.warning(
        "%s: the sites are too symmetric for features of λ = %d; it is predicted as zero", found.name, irrep[0]
    )


def not_positive_definite(found: LabelledStructures, irrep: Irrep, size: str, ratio: float, auto: bool) -> InputError:
    """The error of a kernel matrix that cannot be factorised.

    Args:
        found, irrep: what is learned.
        size: of the matrix, in words.
        ratio: the regularisation.
        auto: whether it was searched for.
    """
    advice = "give one of 1e-6 or more" if auto else "raise it to 1e-6 or more, or use 'auto'"
    return InputError(
        f"the kernel matrix of {found.name} ({size}, λ = {irrep[0]}) is not positive definite with regularisation "
        f"{ratio:.1e}; {advice}"
    )
