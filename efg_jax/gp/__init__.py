"""Gaussian-process regression with λ-SOAP kernels: models of tensors or of scalars, and the pure functions below.

Kernels take features (`efg_jax.LambdaSOAP`), and the rest takes a kernel matrix: all are differentiable functions of
JAX arrays, and work in the precision of their arguments.
"""

from efg_jax.gp.cross_validation import cross_validated_loss, held_out_predictions, held_out_problems
from efg_jax.gp.gaussian_process import (
    Eigenmodes,
    Groups,
    choose_regularisation,
    eigenmodes,
    factorise,
    group_rows,
    held_out_residuals,
    held_out_residuals_from_modes,
    log_marginal_likelihood,
    posterior_covariance,
    solve,
)
from efg_jax.gp.kernels import lambda_soap_kernel, soap_kernel
from efg_jax.gp.scalar_gpr import ScalarGPR
from efg_jax.gp.tensor_gpr import TensorGPR

__all__ = [
    "Eigenmodes",
    "Groups",
    "ScalarGPR",
    "TensorGPR",
    "choose_regularisation",
    "cross_validated_loss",
    "eigenmodes",
    "factorise",
    "group_rows",
    "held_out_predictions",
    "held_out_problems",
    "held_out_residuals",
    "held_out_residuals_from_modes",
    "lambda_soap_kernel",
    "log_marginal_likelihood",
    "posterior_covariance",
    "soap_kernel",
    "solve",
]
