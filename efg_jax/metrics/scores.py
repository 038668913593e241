"""Errors of one array against another: MAE, RMSE, %RMSE, Pearson's r, and Eq. 6 of Harper et al. 2025."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.tensors.irreps import to_spherical


class Scores(NamedTuple):
    """Four scores of one quantity; NaN where one is undefined (see `pearson_r`, `rmse_percent`)."""

    mae: Float[Array, ""]
    rmse: Float[Array, ""]
    rmse_percent: Float[Array, ""]
    r: Float[Array, ""]


def mae(reference: Float[Array, "*shape"], predicted: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Mean absolute error over every entry, in the unit of the input."""
    return jnp.mean(jnp.abs(predicted - reference))


def rmse(reference: Float[Array, "*shape"], predicted: Float[Array, "*shape"]) -> Float[Array, ""]:
    """Root mean square error over every entry, in the unit of the input. Its gradient is 0 for a perfect prediction."""
    return _safe_sqrt(jnp.mean((predicted - reference) ** 2))


def pearson_r(reference: Float[Array, "n"], predicted: Float[Array, "n"]) -> Float[Array, ""]:
    """Pearson's correlation coefficient r ∈ [−1, 1]; NaN where either side does not vary."""
    x, y = reference - jnp.mean(reference), predicted - jnp.mean(predicted)
    varies = _varies(reference, x) & _varies(predicted, y)
    squares = jnp.where(varies, jnp.sum(x * x) * jnp.sum(y * y), 1.0)
    # Rounding may leave |r| an ulp above 1.
    return jnp.where(varies, jnp.clip(jnp.sum(x * y) / jnp.sqrt(squares), -1.0, 1.0), jnp.nan)


def rmse_percent(
    reference: Float[Array, "n *components"], predicted: Float[Array, "n *components"]
) -> Float[Array, ""]:
    """%RMSE = 100·RMSE/σ (Ben Mahmoud et al. 2024): the error as a share of the spread of the reference.

    σ² is the mean of (y − ȳ)² over samples and components, with ȳ the mean over samples of each component by itself.
    Over the nine components of a tensor (or the 2λ+1 of an irreducible one, which gives the same number) both RMSE and
    σ are thus Frobenius norms, and %RMSE does not change when all tensors are turned together. 100 is what predicting
    the mean tensor gives.

    Args:
        reference: n samples of a scalar (n,), or of a tensor (n, 3, 3) or (n, 2λ+1), any unit.
        predicted: the same for the model.

    Returns:
        Per cent; NaN where the reference does not vary.
    """
    deviation = reference - jnp.mean(reference, axis=0, keepdims=True)
    varies = _varies(reference, deviation)
    spread = jnp.sqrt(jnp.where(varies, jnp.mean(deviation**2), 1.0))
    return jnp.where(varies, 100.0 * rmse(reference, predicted) / spread, jnp.nan)


def rmse_percent_by_order(
    reference: Float[Array, "n 3 3"], predicted: Float[Array, "n 3 3"], orders: tuple[int, ...] = (0, 1, 2)
) -> dict[int, Float[Array, ""]]:
    """%RMSE of each irreducible part λ of a rank-2 tensor (Ben Mahmoud et al. 2024). An EFG has λ = 2 only, a shielding
    all three.
    """
    return {order: rmse_percent(to_spherical(reference, order), to_spherical(predicted, order)) for order in orders}


def mae_vij(reference: Float[Array, "n 3 3"], predicted: Float[Array, "n 3 3"]) -> Float[Array, ""]:
    """MAE(V_ij) = Σ_l Σ_{i≤j} |V_ij − V′_ij| / N (Harper et al. 2025, Eq. 6).

    The six upper components are summed and the sum is divided by the number of tensors N, not by 6N; it depends on the
    frame.

    Args:
        reference: N tensors, V/Å² (or ppm).
        predicted: the same for the model.

    Returns:
        The error in the unit of the input.
    """
    row, column = np.triu_indices(3)
    return jnp.mean(jnp.sum(jnp.abs(predicted - reference)[:, row, column], axis=-1))


def scores(reference: Float[Array, "n"], predicted: Float[Array, "n"]) -> Scores:
    """MAE, RMSE, %RMSE and Pearson's r of one scalar quantity."""
    return Scores(
        mae=mae(reference, predicted),
        rmse=rmse(reference, predicted),
        rmse_percent=rmse_percent(reference, predicted),
        r=pearson_r(reference, predicted),
    )


def _varies(values: Float[Array, "*shape"], deviation: Float[Array, "*shape"]) -> Array:
    """Whether values differ by more than rounding: the mean of n equal numbers is not exactly that number."""
    return jnp.max(jnp.abs(deviation)) > 16 * jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values))


def _safe_sqrt(square: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """√x with gradient 0 at x = 0 instead of infinity; NaN stays NaN."""
    zero = square == 0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))
