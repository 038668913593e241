"""Values of quantities in single frames, from the samples that were kept."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.quantities import QUANTITIES, Context, require
from efg_jax.tensors.shielding import shift
from efg_jax.trajectories.accumulation import Accumulator
from efg_jax.trajectories.distributions import Reservoir
from efg_jax.trajectories.site_averages import frequency_factors


def sampled(
    sums: Accumulator,
    symbol: str,
    nucleus: Isotope | None,
    quantity: str,
    *,
    label: str | None,
    reference: float | int | None,
) -> Float[np.ndarray, " sample"]:
    """See `TrajectoryAverage.sampled`.

    Args:
        sums: of the pass over the trajectory.
        symbol: element.
        nucleus: of the element.
        quantity, label, reference: as there.

    Raises:
        InputError: as there.
    """
    known = {name for name, element in sums.samples if element == symbol}
    if label is not None and label not in known:
        raise InputError(
            f"no {symbol} has the label {label!r}; there are {', '.join(sorted(filter(None, known))) or 'none'}"
        )
    kept = {name: sums.samples[name, symbol] for name in known if label in (None, name)}
    return _column(sums, quantity, _pooled_rows(kept, sums.options.seed), nucleus, reference)


def _column(
    sums: Accumulator, quantity: str, rows: np.ndarray, nucleus: Isotope | None, reference: float | int | None
) -> np.ndarray:
    columns = {one.name: column for one, column in zip(sums.quantities, rows.T, strict=True)}
    if quantity == "delta_iso" and sums.kind.name == "ms":
        require(QUANTITIES["shift"]["delta_iso"], Context(reference=reference))
        return shift(columns["sigma_iso"], reference)
    if nucleus is not None:
        factors = frequency_factors(nucleus)
        columns["c_q"] = columns["v_zz"] * factors["v_zz"]
        columns["abs_c_q"] = columns["abs_v_zz"] * abs(factors["v_zz"])
        if "v_nn" in columns:
            columns["nu_q"] = columns["v_nn"] * factors["v_nn"]
    if quantity not in columns:
        further = ", delta_iso" if sums.kind.name == "ms" else "" if "v_nn" in columns else "; ν_Q needs direction="
        raise InputError(f"there is no distribution of {quantity!r}; there are {', '.join(columns)}{further}")
    return columns[quantity]


def _pooled_rows(samples: Mapping[str | None, Reservoir], seed: int) -> Float[np.ndarray, "sample width"]:
    """One sample of several, each with the weight of the stream that it came from."""
    if len(samples) == 1:
        return next(iter(samples.values())).rows
    generator, rate = np.random.default_rng(seed), min(len(own.rows) / own.seen for own in samples.values())
    parts = []
    for own in samples.values():
        size = max(round(rate * own.seen), 1)
        parts.append(own.rows[generator.choice(len(own.rows), min(size, len(own.rows)), replace=False)])
    return np.concatenate(parts)
