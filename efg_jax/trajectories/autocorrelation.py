"""⟨x(0)·x(t)⟩ of the tensors of a trajectory, or of their ν_Q."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from efg_jax.errors import InputError
from efg_jax.tensors.nuclei import Isotope
from efg_jax.trajectories.accumulation import Accumulator, vectors
from efg_jax.trajectories.site_averages import frequency_factors


class Autocorrelation(NamedTuple):
    """⟨x(0)·x(t)⟩, mean over atoms.

    Attributes:
        lags: fs, or frames where no time step was given.
        values: in the unit.
        errors: standard error of each value, from the spread of the atoms, differences between sites included; NaN for
            a single atom.
        atoms: number of atoms.
        unit: "(V/Å²)²", "ppm²", or "Hz²" for ν_Q of nuclei that have one; without a quadrupolar isotope it is n·V·n, in
            "(V/Å²)²".
        by_atom: the values of each atom.
        spacings: of the lags, in their unit: beyond the sixteenth lag a value is a mean over a triangle of this
            half-width.
    """

    lags: Float[np.ndarray, " lags"]
    values: Float[np.ndarray, " lags"]
    errors: Float[np.ndarray, " lags"]
    atoms: int
    unit: str
    by_atom: Float[np.ndarray, "lags atoms"]
    spacings: Float[np.ndarray, " lags"]


def autocorrelate(
    sums: Accumulator,
    isotopes: Mapping[str, Isotope | None],
    timestep: float | None,
    of: str,
    *,
    species: str | None,
    atom: int | None,
    fluctuation: bool,
) -> Autocorrelation:
    """See `TrajectoryAverage.autocorrelation`.

    Args:
        sums: of the pass over the trajectory.
        isotopes: nucleus by element.
        timestep: fs from frame to frame; None: lags are in frames.
        of, species, atom, fluctuation: as there.

    Raises:
        InputError: as there.
    """
    if of not in ("tensor", "nu_q"):
        raise InputError(f"there is no autocorrelation of {of!r}; choose 'tensor' or 'nu_q'")
    if not sums.complete:
        raise InputError(
            "mask or labels left out frames, so that steps between the others are no times; "
            "average without them for correlations"
        )
    chosen = _chosen(sums, isotopes, species, atom)
    direction, correlator = None, sums.tensor_correlation
    factor, unit = np.ones(int(chosen.sum())), "(V/Å²)²" if sums.kind.name == "efg" else "ppm²"
    if of == "nu_q":
        direction, correlator = sums.options.direction, sums.frequency_correlation
        if direction is None:
            raise InputError("ν_Q needs the direction of the field; average with direction=(0, 0, 1), or another")
        nuclei = {symbol: isotopes[symbol] for symbol in sums.symbols[chosen].tolist()}
        if sums.kind.name == "efg" and _in_hertz(nuclei):
            factor = np.array([frequency_factors(nuclei[symbol])["v_nn"] ** 2 for symbol in sums.symbols[chosen]])
            unit = "Hz²"
    values = correlator.about(vectors(_centre(sums, fluctuation), direction))[:, chosen] * factor
    count, step = len(factor), 1.0 if timestep is None else timestep
    errors = values.std(axis=1, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(values), np.nan)
    lags, spacings = (own.astype(float) * step for own in (correlator.lags, correlator.spacings))
    return Autocorrelation(lags, values.mean(axis=1), errors, count, unit, values, spacings)


def _centre(sums: Accumulator, fluctuation: bool) -> Float[np.ndarray, "tracked 3 3"]:
    """The mean tensors, or zero, as seen from the origin of what was correlated."""
    mean = sums.kind.unpack(sums.overall.mean[:, : sums.kind.width])
    return (0.5 * (mean + mean.swapaxes(1, 2)) if fluctuation else 0.0) - sums.origin


def _in_hertz(nuclei: Mapping[str, Isotope | None]) -> bool:
    """Whether all of the elements have a frequency.

    Raises:
        InputError: only some of them.
    """
    without = [symbol for symbol, nucleus in nuclei.items() if nucleus is None]
    if without and len(without) < len(nuclei):
        raise InputError(
            f"{' and '.join(without)} has no quadrupolar isotope in the table, and so no ν_Q; "
            "name species=, or pass isotope="
        )
    return not without


def _chosen(
    sums: Accumulator, isotopes: Mapping[str, Isotope | None], species: str | None, atom: int | None
) -> Bool[np.ndarray, " tracked"]:
    if atom is not None:
        chosen = sums.tracked == atom
    else:
        chosen = sums.symbols == species if species is not None else np.ones(len(sums.tracked), dtype=bool)
    if not chosen.any():
        what = f"atom {atom}" if atom is not None else str(species)
        raise InputError(f"{what} was not averaged; {', '.join(isotopes)} were, {len(sums.tracked)} atoms in all")
    return chosen
