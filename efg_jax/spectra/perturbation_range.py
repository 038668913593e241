"""Where perturbation theory is used outside its range: a warning, with what it leaves out."""

import logging

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.precision import x64
from efg_jax.spectra.conditions import Conditions
from efg_jax.spectra.crystallites import ExactLines, PerturbedLines, exact_lines, lines_of
from efg_jax.spectra.fluctuations import Fluctuations
from efg_jax.spectra.frequencies import larmor_frequency
from efg_jax.tensors.efg import STRONG, coupling_constant, coupling_ratio, invariant_strength
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.powder import field_directions

logger = logging.getLogger(__name__)

DIRECTIONS = 600
OFFER = "take method='exact' (command line: --method exact)"
MOVING = "each frame by itself (motion='rigid') has method='exact', static"
NO_OFFER = "only static spectra have method='exact' (command line: --method exact --spinning static)"


def warn_outside(
    efg: Float[Array | np.ndarray, "sites 3 3"] | None,
    nucleus: Isotope,
    wanted: Conditions,
    fluctuations: Fluctuations | None = None,
) -> None:
    """Log a warning where the coupling is too strong for perturbation theory; of traced tensors nothing is known.

    Args:
        efg: V, V/Å².
        nucleus: isotope.
        wanted: conditions.
        fluctuations: of tensors that move: their root mean square counts, as a mean may vanish. What is left out is
            then that of an axial tensor of this strength.
    """
    if efg is None or wanted.method == "exact" or not wanted.efg:
        return
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((efg, fluctuations))):
        return
    with x64(), jax.ensure_compile_time_eval():  # known tensors may stand in a function that is being traced
        tensors = jnp.asarray(np.asarray(efg, dtype=float))
        if fluctuations is not None:
            scatter = jnp.sum(invariant_strength(jnp.asarray(np.asarray(fluctuations.efg, dtype=float))) ** 2, axis=-1)
            strength = jnp.sqrt(invariant_strength(tensors) ** 2 + scatter)
            tensors = strength[:, None, None] * jnp.diag(jnp.array([-0.5, -0.5, 1.0]))[None]
        products = coupling_constant(invariant_strength(tensors), nucleus)
        ratios = np.asarray(coupling_ratio(products, larmor_frequency(nucleus, wanted.field), nucleus.spin))
        if not (strong := np.flatnonzero(ratios >= STRONG)).size:
            return
        worst = int(np.nan_to_num(ratios).argmax())
        largest, centre = left_out(tensors[worst], nucleus, wanted)
    # The odd orders of m → −m vanish: H_Q is even under time reversal, I_z odd, so that E⁽ᵏ⁾(−m) = (−1)ᵏ⁻¹ E⁽ᵏ⁾(m).
    central = wanted.transitions == "central"
    order = "second" if wanted.order == 1 else "fourth (the third is zero)" if central else "third"
    shifts = f", and the centre of gravity by {centre:+.3g} ppm" if central else ""
    logger.warning(
        "perturbation theory is used outside its range: ν_Q/ν_L is %.2g for %s, and %.2g or more for %d of %d sites. "
        "What it leaves out there, from the %s order on, moves frequencies by up to %.3g ppm%s; %s",
        ratios[worst], nucleus, STRONG, len(strong), len(ratios), order, largest, shifts,
        MOVING if fluctuations is not None else OFFER if wanted.mode == "static" else NO_OFFER,
    )  # fmt: skip


def left_out(efg: Float[Array, "3 3"], nucleus: Isotope, wanted: Conditions) -> tuple[float, float]:
    """What perturbation theory leaves out of a static powder's frequencies without a shift, exact less perturbed.

    Levels are told apart by their order.

    Args:
        efg: V, V/Å².
        nucleus: isotope.
        wanted: conditions.

    Returns:
        Largest magnitude, and the mean over directions and transitions, ppm.
    """
    static = Conditions(wanted.field, transitions=wanted.transitions, order=wanted.order, efg=wanted.efg)
    perturbed, levels = lines_of(nucleus, static), round(2 * nucleus.spin + 1)
    middle = levels // 2
    upper = [middle] if wanted.transitions == "central" else range(levels - 1, 0, -1)
    exact = exact_lines(nucleus, static, tuple((high - 1, high) for high in upper))
    difference = np.asarray(_difference(exact, perturbed, efg, jnp.asarray(field_directions(DIRECTIONS))))
    ppm = difference / (larmor_frequency(nucleus, wanted.field) * 1e-6)
    return float(np.abs(ppm).max()), float(ppm.mean())


@jax.jit
def _difference(
    exact: ExactLines, perturbed: PerturbedLines, efg: Float[Array, "3 3"], directions: Float[Array, "n 3"]
) -> Float[Array, "lines n"]:
    tensors = (efg, jnp.zeros_like(efg), None)
    return exact(tensors, directions).frequency - perturbed(tensors, directions).frequency
