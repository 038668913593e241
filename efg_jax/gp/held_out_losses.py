"""What held-out predictions are judged by, and weighted sums of it, under one name each."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.gp.scalar_targets import METRICS
from efg_jax.metrics import Scale, mae_vij, observable_loss, soft_abs, tilt_loss

LIKELIHOOD = "lml"
"""Negative log marginal likelihood a component, in nats; it needs no folds."""

Terms = str | Mapping[str, float]
"""One loss, a sum as text ("observables + 0.1*lml"), or weights by name."""


class HeldOut(NamedTuple):
    """References and predictions of one species: Cartesian tensors in the target's unit, or columns of `METRICS`."""

    reference: Float[Array, "n *shape"]
    predicted: Float[Array, "n *shape"]
    scale: Scale | None  # μ and σ of |V_zz|, of an EFG


HeldOutLosses = Mapping[str, Callable[[HeldOut], Float[Array, ""]]]


def _rmse(held_out: HeldOut) -> Float[Array, ""]:
    # The square root of a perfect fit has no slope; one part in 1e16 of the target's size has.
    floor = 1e-32 * jnp.mean(held_out.reference**2)
    return jnp.sqrt(jnp.mean((held_out.predicted - held_out.reference) ** 2) + floor)


def _scalar(column: int) -> Callable[[HeldOut], Float[Array, ""]]:
    def mae(held_out: HeldOut) -> Float[Array, ""]:
        reference = held_out.reference[:, column]
        width = 0.01 * jnp.std(reference)
        return jnp.mean(soft_abs(held_out.predicted[:, column] - reference, width))

    return mae


def _scalars(held_out: HeldOut) -> Float[Array, ""]:
    return sum(_scalar(column)(held_out) for column in range(4)) / 4.0


TENSOR_LOSSES: HeldOutLosses = {
    "mae-vij": lambda h: mae_vij(h.reference, h.predicted),
    "rmse": _rmse,
}
"""Losses of any tensor, in its unit."""

EFG_LOSSES: HeldOutLosses = {
    "observables": lambda h: observable_loss(h.reference, h.predicted, h.scale),
    "tilt": lambda h: tilt_loss(h.reference, h.predicted, h.scale),
    **TENSOR_LOSSES,
}
"""Losses of EFG tensors, besides those of any tensor.

The paper's objective (MAEs of C̃_Q, η̃ and 1 − q̃), and the same with the angle in place of 1 − q̃.
"""

SCALAR_LOSSES: HeldOutLosses = {
    "observables": _scalars,
    **{name: _scalar(column) for column, name in enumerate(METRICS)},
}
"""Losses of scalar models: the MAE of each quantity (rounded below 1 % of its spread), the mean of the paper's four."""


def parse_loss(loss: Terms, losses: HeldOutLosses = EFG_LOSSES) -> dict[str, float]:
    """Weights by name.

    Args:
        loss: a name, a sum of names with factors, or weights by name.
        losses: that there are, besides the likelihood.

    Raises:
        InputError: an unknown name, no term, or a weight that is not positive.
    """
    terms = dict(loss) if isinstance(loss, Mapping) else _parse(loss)
    known = (*losses, LIKELIHOOD)
    if unknown := [name for name in terms if name not in known]:
        raise InputError(
            f"unknown loss {unknown[0]!r}; for this model and target choose among {', '.join(known)}, or a sum such as "
            f"{known[0]}+0.1*lml"
        )
    if not terms or not all(0 < weight < float("inf") for weight in terms.values()):
        raise InputError(f"the weights of a loss must be positive: {loss!r}")
    return {name: float(weight) for name, weight in terms.items()}


def _parse(text: str) -> dict[str, float]:
    terms: dict[str, float] = {}
    # A sign inside 1e+2 is part of the number.
    for term in re.split(r"(?<![\d.][eE])\+", text):
        factor, star, name = term.rpartition("*")
        try:
            weight = float(factor) if star else 1.0
        except ValueError:
            raise InputError(f"loss {text!r}: {factor.strip()!r} is no number; write observables+0.1*lml") from None
        terms[name.strip()] = terms.get(name.strip(), 0.0) + weight
    return terms
