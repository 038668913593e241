"""Frequencies of one nucleus for chosen directions of the field, as of a single crystal."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Real

from efg_jax.spectra.conditions import Method, Transitions, conditions
from efg_jax.spectra.crystallites import Lines, floating, in_precision, lines_of
from efg_jax.spectra.perturbation_range import warn_outside
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope


def transition_frequencies(
    efg: Real[Array | np.ndarray, "3 3"] | None,
    shift: Real[Array | np.ndarray, "3 3"],
    directions: Real[Array | np.ndarray, "n 3"],
    *,
    isotope: Isotope | str,
    field: float | int,
    transitions: Transitions | None = None,
    order: int = 2,
    method: Method = "perturbation",
) -> Lines:
    """Frequencies and intensities of one nucleus for a field along given directions, as of a single crystal; pure.

    Args:
        efg: V, V/Å²; None: no quadrupolar coupling.
        shift: chemical shift tensor δ, ppm.
        directions: of the field in the frame of the tensors, unit vectors.
        isotope: nucleus.
        field: T.
        transitions, order, method: as for :func:`efg_jax.spectra.powder_spectrum`.

    Returns:
        One row for each transition. "all" by perturbation theory: m = I → I − 1 first; exactly: all pairs of levels,
        (0, 1), (0, 2), (1, 2), ..., numbered from m = −I on.

    Raises:
        InputError: unusable conditions.
    """
    nucleus = find_isotope(isotope)
    asked = {"transitions": transitions, "order": order, "method": method, "efg": efg is not None}
    wanted = conditions(nucleus, field=field, **asked)
    shift = floating(shift)
    gradient = jnp.zeros_like(shift) if efg is None else floating(efg)
    warn_outside(gradient[None], nucleus, wanted)
    fields = floating(directions).astype(shift.dtype)
    return in_precision(lines_of(nucleus, wanted), shift.dtype)((gradient, shift, None), fields)
