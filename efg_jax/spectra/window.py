"""Frequency windows that hold a whole powder pattern."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.spectra.conditions import Conditions
from efg_jax.spectra.crystallites import ExactLines, PerturbedLines, in_precision, lines_of
from efg_jax.spectra.fluctuations import Fluctuations
from efg_jax.spectra.frequencies import Transition, transitions
from efg_jax.spectra.nmr_sites import Sites
from efg_jax.structures.padding import bucket
from efg_jax.tensors.powder import field_directions

DIRECTIONS = 600  # that look for the ends of a pattern; the margin makes up for what they miss
MARGIN = 0.08  # of the pattern, on either side
TAILS = {"gaussian": 2.0, "lorentzian": 15.0}  # widths of broadening on either side: 2e-6 and 2 % of a line lie beyond
FORBIDDEN = 3e-3  # of the intensity: what the weakest exact lines may hold together to be left out of a range
NARROWEST = 200.0  # Hz; a window for isotropic lines without broadening
FEWEST, MOST = 1024, 65536  # points of an automatic axis
POINTS_PER_WIDTH = 4.0


@dataclass(frozen=True)
class Window:
    """An even frequency axis, Hz from the reference.

    Attributes:
        width: spectral width.
        offset: its middle.
        points: number of points.
    """

    width: float
    offset: float
    points: int

    @property
    def step(self) -> float:
        """Distance of the points, Hz."""
        return self.width / self.points

    def frequencies(self) -> Float[np.ndarray, " points"]:
        """The points, ascending; the one with index points//2 is the offset."""
        return (np.arange(self.points) - self.points // 2) * self.step + self.offset

    def extended(self, low: float, high: float) -> tuple["Window", slice]:
        """A window with the same points and as many more as reach from low to high, and where the points of this one
        are in it.
        """
        axis = self.frequencies()
        before = max(0, int(np.ceil((axis[0] - low) / self.step)))
        after = max(0, int(np.ceil((high - axis[-1]) / self.step)))
        points = self.points + before + after
        offset = float(axis[0]) + (points // 2 - before) * self.step
        return Window(points * self.step, offset, points), slice(before, before + self.points)


def pattern_range(found: Sites, conditions: Conditions) -> tuple[float, float]:
    """Lowest and highest frequency of the powder patterns of all sites, sidebands included, Hz.

    Args:
        found: sites.
        conditions: of the measurement. With a finite rate the range is that of the static sample and at least two
            sidebands on either side. Of exact lines the weakest, with `FORBIDDEN` of the intensity together, do not
            count.
    """
    with x64():
        low, high = _range(found, conditions)
    if conditions.mode == "finite":
        low, high = low - 2.0 * conditions.spinning, high + 2.0 * conditions.spinning
    return low, high


def isotropic_range(found: Sites, conditions: Conditions) -> tuple[float, float]:
    """Lowest and highest of the orientation averages of the transitions of all sites, Hz."""
    averages = [isotropic_frequencies(found, conditions, line) for line in transitions(found.isotope, conditions)]
    return float(np.min(averages)), float(np.max(averages))


def isotropic_frequencies(found: Sites, conditions: Conditions, line: Transition) -> Float[np.ndarray, " sites"]:
    """Orientation average of a transition of each site, Hz: n·V·n → 0, (n·V·n)² → 2/15 Tr V², n·V²·n → 1/3 Tr V²; so
    |V₁|² → 1/5 and |V₂|² → 4/5 of Tr V².

    The cross term averages to the trace of Vδ, (1/3 − 2/15) of it; without anisotropy of the shift there is none.
    """
    shifts = line.shift * found.isotropic_shift
    if found.efg is None:
        return shifts
    strength = np.sum(found.efg**2, axis=(1, 2))
    mixed = np.sum(found.efg * counted_shifts(found, conditions), axis=(1, 2))
    if found.fluctuations is not None:
        parts, moved = counted_fluctuations(found, conditions)
        strength = strength + np.sum(parts**2, axis=(1, 2, 3))
        mixed = mixed + np.sum(parts * moved, axis=(1, 2, 3))
    return shifts + (line.single / 5.0 + line.double * 0.8) * strength + line.cross * mixed / 5.0


def counted_shifts(found: Sites, conditions: Conditions) -> Float[np.ndarray, "sites 3 3"]:
    """Shift tensors as far as they count."""
    return found.shift if conditions.csa else found.isotropic_shift[:, None, None] * np.eye(3)


def counted_fluctuations(found: Sites, conditions: Conditions) -> Fluctuations | None:
    """Fluctuations as far as they count: none without the coupling; an isotropic shift has no cross term with it."""
    if not conditions.efg:
        return None
    if found.fluctuations is None or conditions.csa:
        return found.fluctuations
    return found.fluctuations._replace(shift=np.zeros_like(found.fluctuations.shift))


def _range(found: Sites, conditions: Conditions) -> tuple[float, float]:
    shift = counted_shifts(found, conditions)
    efg = found.efg if found.efg is not None and conditions.efg else np.zeros_like(shift)
    extra = bucket(len(shift)) - len(shift)
    tensors = jax.tree.map(
        lambda t: jnp.asarray(np.concatenate([t, np.repeat(t[:1], extra, axis=0)])),
        (efg, shift, counted_fluctuations(found, conditions)),
    )
    directions = jnp.asarray(field_directions(DIRECTIONS))
    low, high = _ends(tensors, directions, in_precision(lines_of(found.isotope, conditions), directions.dtype))
    return float(low), float(high)


@jax.jit
def _ends(
    tensors: tuple[Float[Array, "n 3 3"], Float[Array, "n 3 3"], Fluctuations | None],
    directions: Float[Array, "k 3"],
    kernel: PerturbedLines | ExactLines,
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    def of_site(own: tuple) -> tuple[Float[Array, ""], Float[Array, ""]]:
        lines = kernel(own, directions)
        strength = jnp.mean(lines.intensity, axis=1)
        weaker = jnp.sum(jnp.where(strength[None] <= strength[:, None], strength[None], 0.0), axis=1)
        shown = (weaker > FORBIDDEN * jnp.sum(strength))[:, None]
        ends = (jnp.where(shown, lines.frequency, side * jnp.inf) for side in (1.0, -1.0))
        return jnp.min(next(ends)), jnp.max(next(ends))

    low, high = jax.lax.map(of_site, tensors)
    return jnp.min(low), jnp.max(high)


def choose_window(
    low: float,
    high: float,
    *,
    fwhm: float,
    shape: str,
    width: float | int | None,
    offset: float | int | None,
    points: int | None,
) -> Window:
    """The window that a user asks for, filled in with one that holds the pattern and resolves its broadening.

    Args:
        low, high: of the pattern, Hz.
        fwhm: of the broadening, Hz.
        shape: of the broadening.
        width, offset: Hz; None: as wide as it takes, about the middle of the pattern.
        points: None: four a width of broadening, 1024 at least.

    Raises:
        InputError: a width that is not positive, an offset that is no number, or fewer than 2 points.
    """
    if width is not None and not (np.isfinite(width) and width > 0.0):
        raise InputError(f"a spectral width of {width:g} Hz has no meaning; give a positive number of Hz")
    if offset is not None and not np.isfinite(offset):
        raise InputError(f"an offset of {offset:g} Hz has no meaning; give a number of Hz")
    if points is not None and points < 2:
        raise InputError(f"{points} points are too few for a spectrum; give 2 or more, as 2048")
    margin = MARGIN * (high - low) + TAILS[shape] * fwhm
    if offset is None:
        offset = 0.5 * (low + high)
    if width is None:
        width = 2.0 * max(high + margin - offset, offset - low + margin, 0.5 * NARROWEST)
    if points is None:
        wanted = POINTS_PER_WIDTH * width / fwhm if fwhm > 0.0 else FEWEST
        points = 1 << int(np.ceil(np.log2(np.clip(wanted, FEWEST, MOST))))
    return Window(float(width), float(offset), points)
