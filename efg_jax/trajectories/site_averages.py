"""Averages of each atom and label, with their errors."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from efg_jax.observables.arrays import axes_of, values_and_gradients
from efg_jax.precision import x64
from efg_jax.spectra.frequencies import larmor_frequency
from efg_jax.tensors.efg import coupling_factor, frequency_factor, quadrupolar_induced_shift, warn_where_strong
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.quantities import Context
from efg_jax.trajectories.accumulation import quantities_of, widened
from efg_jax.trajectories.averaged_tensors import AveragedTensor
from efg_jax.trajectories.blocks import BlockSums, Errors


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
        values: principal values of the symmetric part of the mean tensor, in NQR order for an EFG, ascending for a
            shielding.
        axes: the axes as columns.
        quantities: by name. Of an EFG "c_q" (Hz; without isotope "v_zz", V/Å²) and "eta" are those of the mean tensor;
            "mean_c_q", "mean_abs_c_q" and "mean_eta" are means over the frames, which no spectrometer measures;
            "excess_c_q" and "excess_eta" are the error of these means; "nu_q" (Hz; without isotope "v_nn") is along the
            direction. "p_q" is P_Q(⟨V⟩), "rms_p_q" √⟨P_Q²⟩ (Hz; without isotope "strength", "rms_strength", V/Å²); with
            a field, "delta_qis" and "mean_delta_qis" (ppm) are the second-order shifts of the central transition that
            they give, the one for motion faster than ν_L, the other for motion between C_Q and ν_L. Of a shielding:
            "sigma_iso", "span", "skew", "mean_span", ....
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

    def row(self) -> dict[str, str | int | float | None]:
        """The site as one row of a table: its quantities and components with their errors."""
        row = self._whose()
        for name, estimate in self.quantities.items():
            row |= {name: estimate.value, f"{name}_error": estimate.error}
        for label, tensor in (("", self.tensor), ("_error", self.tensor_error)):
            row |= {f"tensor_{'xyz'[i]}{'xyz'[j]}{label}": float(tensor[i, j]) for i in range(3) for j in range(3)}
        return row

    def to_dict(self) -> dict[str, Any]:
        """The site as plain values; None for NaN."""
        arrays = {name: plain(getattr(self, name).tolist()) for name in ("tensor", "tensor_error", "values", "axes")}
        quantities = {name: plain(estimate._asdict()) for name, estimate in self.quantities.items()}
        return self._whose() | arrays | {"quantities": quantities}

    def _whose(self) -> dict[str, Any]:
        isotope = None if self.isotope is None else str(self.isotope)
        return {
            "atom": self.atom, "symbol": self.symbol, "label": self.label, "isotope": isotope, "frames": self.frames,
        }  # fmt: skip


def sites_of(
    kind: AveragedTensor,
    sums: BlockSums,
    atoms: list[int | None],
    symbols: list[str],
    label: str | None,
    isotopes: Mapping[str, Isotope | None],
    direction: Float[np.ndarray, "3"] | None,
    field: float | None,
) -> list[SiteAverage]:
    """The averages of all series that have values."""
    known = sums.count > 0
    mean = np.where(known[:, None], sums.mean, 0.0)
    tensors = kind.unpack(mean[:, : kind.width])
    tensor_errors = _component_errors(kind, sums)
    by_name = _estimates(kind, sums, mean, tensors, direction)
    symmetric = 0.5 * (tensors + tensors.swapaxes(1, 2))
    values, axes = axes_of(symmetric) if kind.name == "efg" else np.linalg.eigh(symmetric)
    sites = []
    for i in np.flatnonzero(known).tolist():
        nucleus = isotopes[symbols[i]]
        quantities = in_frequencies(_strengths({name: _at(one, i) for name, one in by_name.items()}), nucleus)
        if field is not None and has_central_transition(nucleus):
            quantities |= _induced_shifts(quantities, nucleus, field)
        whose = (atoms[i], symbols[i], label, int(sums.count[i]), nucleus)
        sites.append(SiteAverage(*whose, tensors[i], tensor_errors[i], values[i], _proper(axes[i]), quantities))
    for nucleus in dict.fromkeys(site.isotope for site in sites if "delta_qis" in site.quantities):
        strengths = [site.quantities["rms_p_q"].value for site in sites if site.isotope == nucleus]
        warn_where_strong(np.array(strengths), larmor_frequency(nucleus, field), nucleus.spin)
    return sites


def in_frequencies(quantities: Mapping[str, Estimate], nucleus: Isotope | None) -> dict[str, Estimate]:
    """V_zz → C_Q, √(⅔ Tr V²) → P_Q, n·V·n → ν_Q, in Hz; as they are without an isotope."""
    if nucleus is None:
        return dict(quantities)
    factors = frequency_factors(nucleus)
    found = {}
    for name, estimate in quantities.items():
        head, tail = next(((name[: -len(key)], key) for key in factors if name.endswith(key)), ("", name))
        # A mean of magnitudes or squares stays one, whatever the sign of Q.
        factor = factors.get(tail, 1.0) if head not in ("mean_abs_", "rms_") else abs(factors[tail])
        new = {"v_zz": "c_q", "strength": "p_q", "v_nn": "nu_q"}.get(tail, tail)
        found[head + new] = estimate._replace(value=estimate.value * factor, error=estimate.error * abs(factor))
    return found


def frequency_factors(nucleus: Isotope) -> dict[str, float]:
    """Hz per V/Å²: of C_Q by V_zz, of P_Q by √(⅔ Tr V²), and of ν_Q by n·V·n."""
    factor = coupling_factor(nucleus)
    return {"v_zz": factor, "strength": factor, "v_nn": frequency_factor(nucleus.spin) * factor}


def has_central_transition(nucleus: Isotope | None) -> bool:
    """Whether the second order of the coupling shifts a central transition: spin 3/2, 5/2, ..."""
    return nucleus is not None and nucleus.is_quadrupolar and not float(nucleus.spin).is_integer()


def _strengths(quantities: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Squares of strengths as strengths: of the mean tensor, with the sign of its V_zz, and the root of the mean square
    over the frames.
    """
    found = {name: one for name, one in quantities.items() if not name.endswith("strength_squared")}
    if "strength_squared" in quantities:
        sign = math.copysign(1.0, quantities["v_zz"].value)
        found["strength"] = _root(quantities["strength_squared"], sign)
        found["rms_strength"] = _root(quantities["mean_strength_squared"], 1.0)
    return found


def _root(square: Estimate, sign: float) -> Estimate:
    root = math.sqrt(square.value)
    return square._replace(value=sign * root, error=0.5 * square.error / root if root > 0.0 else math.nan)


def _induced_shifts(quantities: Mapping[str, Estimate], nucleus: Isotope, field: float) -> dict[str, Estimate]:
    """δ_QIS of P_Q(⟨V⟩) and of √⟨P_Q²⟩, which is ⟨δ_QIS⟩, in ppm."""
    with x64():
        factor = float(quadrupolar_induced_shift(jnp.ones(()), larmor_frequency(nucleus, field), nucleus.spin))
    return {
        name: (p_q := quantities[of])._replace(
            value=factor * p_q.value**2, error=2.0 * abs(factor * p_q.value) * p_q.error
        )
        for name, of in (("delta_qis", "p_q"), ("mean_delta_qis", "rms_p_q"))
    }


def _estimates(
    kind: AveragedTensor, sums: BlockSums, mean: np.ndarray, tensors: np.ndarray, direction: np.ndarray | None
) -> dict[str, tuple[np.ndarray, Errors]]:
    """Values and errors of every quantity, in V/Å² or ppm: of the mean tensor, mean over the frames, and what that is
    off.
    """
    width, known = kind.width, quantities_of(kind, direction)
    functions = tuple(one.function for one in known)
    values, slopes = values_and_gradients(functions, Context(direction=direction), kind.name, tensors)
    gradients = [widened(kind.pack_gradient(slope), mean.shape[1]) for slope in slopes]
    of_mean, linear, over_frames = {}, {}, {}
    for k, (one, value, gradient) in enumerate(zip(known, values, gradients, strict=True)):
        if one in kind.linear:
            linear[one.name] = (value, sums.errors(gradient))
            continue
        unit = np.zeros_like(mean)
        unit[:, width + k] = 1.0
        average = mean[:, width + k]
        over_frames[f"mean_{one.name}"] = (average, sums.errors(unit))
        if not one.name.startswith("abs_"):
            of_mean[one.name] = (value, sums.errors(gradient))
            over_frames[f"excess_{one.name}"] = (average - value, sums.errors(unit - gradient))
    return linear | of_mean | over_frames if kind.name == "ms" else of_mean | over_frames | linear


def _component_errors(kind: AveragedTensor, sums: BlockSums) -> Float[np.ndarray, "n 3 3"]:
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


def plain(value: Any) -> Any:
    """Lists and dictionaries with None in the place of numbers that are not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
