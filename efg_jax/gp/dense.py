"""Dense regression: every training environment takes part in every prediction."""

import logging

import jax
import jax.numpy as jnp
import numpy as np

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.gp.basis import Basis
from efg_jax.gp.gaussian_process import (
    choose_regularisation,
    eigenmodes,
    factorise,
    group_rows,
    log_marginal_likelihood,
    solve,
)
from efg_jax.gp.irrep_regression import IrrepRegression, not_positive_definite, report_featureless
from efg_jax.gp.labelled_structures import IrrepTargets, LabelledStructures
from efg_jax.gp.target_kernels import training_kernel

logger = logging.getLogger(__name__)


def fit_dense(
    found: LabelledStructures, descriptor: LambdaSOAP, zeta: float, regularisation: float | None
) -> tuple[dict[str, Basis], dict[Irrep, IrrepRegression]]:
    """Fit all irreps of a target for one group of species.

    Args:
        found: structures, centres and labels of the group.
        descriptor: with species.
        zeta: ζ.
        regularisation: ρ over the kernel's mean diagonal; None: the one with the smallest residuals when each structure
            is held out.

    Returns:
        Training environments by species, and the regressions.

    Raises:
        InputError: no features, or a kernel matrix that is not positive definite.
    """
    bases, regressions = found.bases(descriptor, found.target.irreps), {}
    for irrep, targets in found.irrep_targets().items():
        logger.info("%s: fitting λ = %d to %d targets", found.name, irrep[0], len(targets.values))
        kernel = training_kernel(bases, irrep, zeta, len(targets.values), found.shares)
        regressions[irrep] = _fit_irrep(found, targets, kernel, regularisation).with_contraction(bases)
    return bases, regressions


def _fit_irrep(
    found: LabelledStructures, targets: IrrepTargets, kernel: jax.Array, regularisation: float | None
) -> IrrepRegression:
    (rows, components), irrep = targets.values.shape, targets.irrep
    y = jax.device_put(targets.values.ravel())
    diagonal, held_out_rms = float(_mean_diagonal(kernel)), None
    if not diagonal > 0:
        report_featureless(found, irrep)
        kernel, diagonal, regularisation, y = jnp.eye(y.size), 1.0, 1.0, jnp.zeros_like(y)
    if auto := regularisation is None:
        groups = group_rows(np.repeat(found.structure_of_row, components))
        regularisation, held_out_rms = choose_regularisation(eigenmodes(kernel), y, groups)
    noise = float(regularisation * diagonal)
    factor, weights, amplitude, log_likelihood = _posterior(kernel, y, np.asarray(noise))
    if not np.isfinite(float(amplitude)):
        raise not_positive_definite(found, irrep, f"{rows} targets", regularisation, auto)
    shares = np.ones(rows) if found.shares is None else found.shares
    return IrrepRegression(
        irrep=irrep,
        weights=np.asarray(weights).reshape(rows, components) * shares[:, None],
        mean=targets.mean,
        scale=targets.scale,
        regularisation=regularisation,
        noise=noise,
        amplitude=float(amplitude),
        log_likelihood=float(log_likelihood) if amplitude > 0 else None,
        held_out_rms=held_out_rms,
        factor=np.asarray(factor) / np.repeat(shares, components)[:, None],
    )


@jax.jit
def _mean_diagonal(kernel):
    return jnp.mean(jnp.diag(kernel))


@jax.jit
def _posterior(kernel, targets, noise):
    """Factor, weights, amplitude s² of largest likelihood, and log likelihood there; NaN if not positive definite."""
    factor = factorise(kernel, noise)
    weights = solve(factor, targets)
    amplitude = jnp.dot(targets, weights) / targets.size
    # K → s²K keeps the direction of the weights and shifts the determinant.
    scaled = factor * jnp.sqrt(jnp.where(amplitude > 0, amplitude, 1.0))
    return factor, weights, amplitude, log_marginal_likelihood(scaled, targets)
