"""From sums to what is reported of each atom and label."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2, frequency_factor
from efg_jax.tensors.nuclei import Isotope
from efg_jax.trajectories.accumulation import widened
from efg_jax.trajectories.blocks import BlockSums
from efg_jax.trajectories.quantities import Described, nqr_axes


class Estimate(NamedTuple):
    """A mean.

    Attributes:
        value: in the unit of the quantity.
        error: standard error, NaN where the trajectory is too short for one.
        block: number of frames that were taken for one independent block.
        reliable: False: the blocks are shorter than the correlation time, and the error a lower bound.
    """

    value: float
    error: float
    block: int
    reliable: bool


class SiteAverage(NamedTuple):
    """The average of one atom, of one atom under a label, or of all atoms under a label.

    Attributes:
        atom: its index, None where atoms are pooled.
        symbol: element.
        label: None without labels.
        frames: number of frames.
        isotope: by which V becomes a frequency; None: V_zz is given in V/Å².
        tensor: mean in the fixed frame, V/Å² or ppm.
        tensor_error: standard error of each component.
        values: principal values of the mean tensor (its symmetric part), NQR order for an EFG, ascending for a shielding.
        axes: the axes as columns.
        quantities: by name. Of an EFG "c_q" (Hz; without isotope "v_zz", V/Å²) and "eta" are those of the mean tensor; "mean_c_q", "mean_abs_c_q" and "mean_eta"
            are means over the frames, what a spectrometer does not see; "excess_c_q" and "excess_eta" are what is wrong in the means; "nu_q"
            (Hz; without isotope "v_nn") is along the direction. Of a shielding so "sigma_iso", "span", "skew", "mean_span", ....
    """

    atom: int | None
    symbol: str
    label: str | None
    frames: int
    isotope: Isotope | None
    tensor: Float[np.ndarray, "3 3"]
    tensor_error: Float[np.ndarray, "3 3"]
    values: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    quantities: Mapping[str, Estimate]


def sites_of(
    kind: Described,
    sums: BlockSums,
    atoms: list[int | None],
    symbols: list[str],
    label: str | None,
    isotopes: Mapping[str, Isotope | None],
    direction: Float[np.ndarray, "3"] | None,
) -> list[SiteAverage]:
    """The averages of all series that have values."""
    known = sums.count > 0
    mean = np.where(known[:, None], sums.mean, 0.0)
    tensors = kind.unpack(mean[:, : kind.width])
    tensor_errors = _component_errors(kind, sums)
    by_name = _estimates(kind, sums, mean, tensors, direction)
    symmetric = 0.5 * (tensors + tensors.swapaxes(1, 2))
    values, axes = nqr_axes(symmetric) if kind.name == "efg" else np.linalg.eigh(symmetric)
    sites = []
    for i in np.flatnonzero(known).tolist():
        nucleus = isotopes[symbols[i]]
        quantities = {name: _at(estimate, i) for name, estimate in by_name.items()}
        sites.append(
            SiteAverage(
                atoms[i],
                symbols[i],
                label,
                int(sums.count[i]),
                nucleus,
                tensors[i],
                tensor_errors[i],
                values[i],
                _proper(axes[i]),
                in_frequencies(quantities, nucleus),
            )
        )
    return sites


def in_frequencies(quantities: Mapping[str, Estimate], nucleus: Isotope | None) -> dict[str, Estimate]:
    """V_zz → C_Q, n·V·n → ν_Q, in Hz; as they are without an isotope."""
    if nucleus is None:
        return dict(quantities)
    factors = frequency_factors(nucleus)
    found = {}
    for name, estimate in quantities.items():
        head, tail = next(((name[: -len(key)], key) for key in factors if name.endswith(key)), ("", name))
        # A mean of magnitudes stays one, whatever the sign of Q.
        factor = factors.get(tail, 1.0) if head != "mean_abs_" else abs(factors[tail])
        new = {"v_zz": "c_q", "v_nn": "nu_q"}.get(tail, tail)
        found[head + new] = estimate._replace(value=estimate.value * factor, error=estimate.error * abs(factor))
    return found


def frequency_factors(nucleus: Isotope) -> dict[str, float]:
    """Hz per V/Å² of V_zz (C_Q) and of n·V·n (ν_Q = 3/(2I(2I − 1)) · eQ/h · n·V·n)."""
    factor = HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * nucleus.require_quadrupole()
    return {"v_zz": factor, "v_nn": frequency_factor(nucleus.spin) * factor}


def _estimates(
    kind: Described, sums: BlockSums, mean: np.ndarray, tensors: np.ndarray, direction: np.ndarray | None
) -> dict[str, tuple]:
    """(values, errors) of every quantity, in V/Å² or ppm."""
    width, rows = kind.width, mean.shape[1]
    of_mean = kind.numbers(tensors)
    shown = [name for name in kind.nonlinear if not name.startswith("abs_")]
    found = {}
    if kind.name == "ms":
        trace = widened(kind.pack_gradient(np.broadcast_to(np.eye(3) / 3.0, tensors.shape)), rows)
        found["sigma_iso"] = (np.trace(tensors, axis1=1, axis2=2) / 3.0, sums.errors(trace))
    gradients = {name: widened(kind.pack_gradient(of_mean[name].gradient), rows) for name in shown}
    for name in shown:
        found[name] = (of_mean[name].value, sums.errors(gradients[name]))
    for k, name in enumerate(kind.nonlinear):
        unit = np.zeros_like(mean)
        unit[:, width + k] = 1.0
        found[f"mean_{name}"] = (mean[:, width + k], sums.errors(unit))
        if name in shown:
            excess = mean[:, width + k] - of_mean[name].value
            found[f"excess_{name}"] = (excess, sums.errors(unit - gradients[name]))
    if direction is not None and kind.name == "efg":
        field = widened(kind.pack_gradient(np.broadcast_to(np.outer(direction, direction), tensors.shape)), rows)
        found["v_nn"] = (np.einsum("i,nij,j->n", direction, tensors, direction), sums.errors(field))
    return found


def _component_errors(kind: Described, sums: BlockSums) -> Float[np.ndarray, "n 3 3"]:
    columns = []
    for k in range(kind.width):
        unit = np.zeros_like(sums.mean)
        unit[:, k] = 1.0
        columns.append(sums.errors(unit).error)
    return kind.unpack(np.stack(columns, axis=1))


def _at(estimate: tuple, i: int) -> Estimate:
    values, errors = estimate
    return Estimate(float(values[i]), float(errors.error[i]), int(errors.block[i]), bool(errors.reliable[i]))


def _proper(axes: np.ndarray) -> np.ndarray:
    return axes * np.array([np.sign(np.linalg.det(axes)), 1.0, 1.0])
