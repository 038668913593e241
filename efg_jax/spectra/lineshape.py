"""Powder line shapes as pure functions of the tensors: differentiable, so that a spectrum can be a loss.

Static samples and spinning at infinite rate, the central transition or all, first or second order or, of static
samples, exactly, with the shift tensor in its true orientation to the field gradient. For sidebands of a finite rate
and for two dimensions see :func:`efg_jax.spectra.spectrum` and :func:`efg_jax.spectra.mqmas`."""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

from efg_jax.errors import InputError
from efg_jax.spectra.broadening import Shape, broaden
from efg_jax.spectra.conditions import Method, Transitions, conditions
from efg_jax.spectra.crystallites import ExactLines, Lines, PerturbedLines, floating, in_precision, lines_of
from efg_jax.spectra.fluctuations import Fluctuations
from efg_jax.spectra.grid import octahedral_grid
from efg_jax.spectra.perturbation_range import warn_outside
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope

CHUNK = 256  # triangles that are worked on at a time
NARROWEST = 1e-3  # spread of a triangle's frequencies, in bins, below which it is not resolved
EVEN = 1e-6  # relative to a bin: what the spacing of an axis may vary by

Tensors = Float[Array, "sites 3 3"]
Given = Real[Array, "sites 3 3"]  # whole numbers, too


def powder_spectrum(
    efg: Given | None,
    shift: Given | Real[Array, " sites"],
    frequencies: Float[Array | np.ndarray, " points"],
    *,
    isotope: Isotope | str,
    field: float | int,
    spinning: float | int = 0.0,
    transitions: Transitions | None = None,
    order: Literal[1, 2] = 2,
    method: Method = "perturbation",
    fwhm: Float[Array, ""] | float | int = 0.0,
    shape: Shape = "gaussian",
    density: int = 32,
    weights: Float[Array, " sites"] | None = None,
    fluctuations: Fluctuations | None = None,
) -> Float[Array, "sites points"]:
    """Powder spectrum of each site, a pure function, compiled, for `grad`, `vmap` and larger `jit`s; the precision is
    that of the tensors.

    Frequencies are evaluated on a triangulated half sphere and interpolated linearly within each triangle, whose share
    of every bin is found exactly (Alderman, Solum and Grant, 1986). The result is continuous in the tensors, and its
    derivative exact, wherever ``fwhm`` spans a bin or more.

    Args:
        efg: V, V/Å²; None for spin 1/2, or to leave the quadrupolar coupling out.
        shift: chemical shift tensors δ (see :func:`efg_jax.tensors.shielding.shift_tensor`), or isotropic values, ppm.
        frequencies: evenly spaced bin centres in Hz from the reference, ascending; known values, not traced. What lies
            outside is lost.
        isotope: nucleus.
        field: T.
        spinning: 0 (static) or infinity.
        transitions: "central" or "all", weighted by |⟨m−1|I₋|m⟩|²; None: central where the spin has one.
        order: 1 or 2, of perturbation theory; a warning says where it is used outside its range (unless the tensors are
            traced).
        method: "perturbation", or "exact" diagonalisation of the Hamiltonian for every orientation, of static samples.
            Intensities then are those of the exact states, and "all" are the transitions between any two levels. In
            float32 frequencies are right to about 10⁻⁵ of the Larmor frequency, 10 ppm.
        fwhm: full width at half maximum of the broadening, Hz; 0: none.
        shape: "gaussian" or "lorentzian".
        density: triangles along an edge of the octahedron: 4·density² orientations.
        weights: number of nuclei of each site; None: one.
        fluctuations: of tensors that move faster than the coupling and slower than the Larmor frequency, whose means
            are then ``efg`` and ``shift``: from `mean_and_fluctuations`. The second order is its mean over the motion.

    Returns:
        Intensity per Hz: each site integrates to its weight.

    Raises:
        InputError: unusable conditions, a finite spinning rate, an uneven axis, no efg where it is needed, or
            method="exact" of a spinning sample or with fluctuations.
    """
    nucleus = find_isotope(isotope)
    asked = {"transitions": transitions, "order": order, "method": method, "efg": efg is not None}
    wanted = conditions(nucleus, field=field, spinning=spinning, **asked)
    if wanted.mode == "finite":
        raise InputError(
            "sidebands of a finite rate are not in this line shape; take spinning=0, inf, or spectrum(...)"
        )
    if method == "exact" and fluctuations is not None:
        raise InputError("exact diagonalisation has no motion; leave fluctuations out, or take method='perturbation'")
    warn_outside(efg, nucleus, wanted, fluctuations)
    first, width = _axis(np.asarray(frequencies))
    shift = floating(shift)
    if shift.ndim == 1:
        shift = shift[:, None, None] * jnp.eye(3, dtype=shift.dtype)[None]
    efg = jnp.zeros_like(shift) if efg is None else floating(efg)
    grid = octahedral_grid(density)
    numbers = [jnp.asarray(value, dtype=shift.dtype) for value in (grid.directions, grid.weights)]
    axis = jnp.asarray([first, width], dtype=shift.dtype)
    kernel, moved = (in_precision(tree, shift.dtype) for tree in (lines_of(nucleus, wanted), fluctuations))
    raw = _sites((efg, shift, moved), kernel, *numbers, jnp.asarray(grid.triangles), axis, len(frequencies))
    broadened = broaden(raw, width, fwhm, shape)
    return broadened if weights is None else broadened * weights[:, None]


def _axis(frequencies: np.ndarray) -> tuple[float, float]:
    """First bin centre and bin width."""
    if len(frequencies) < 2:
        raise InputError("a frequency axis needs two points or more")
    steps = np.diff(frequencies)
    width = float(frequencies[-1] - frequencies[0]) / (len(frequencies) - 1)
    if not width > 0.0 or np.abs(steps - width).max() > EVEN * width * len(frequencies):
        raise InputError("the frequency axis is not ascending with even steps; make it with np.arange or np.linspace")
    return float(frequencies[0]), width


@partial(jax.jit, static_argnames="points")
def _sites(
    tensors: tuple[Tensors, Tensors, Fluctuations | None],
    kernel: PerturbedLines | ExactLines,
    directions: Float[Array, "vertices 3"],
    weights: Float[Array, " triangles"],
    triangles: Int[Array, "triangles 3"],
    axis: Float[Array, "2"],
    points: int,
) -> Float[Array, "sites points"]:
    """Intensity per Hz without broadening; one compilation for all nuclei and conditions, exactly for all of a spin."""
    first, width = axis[0], axis[1]
    edges = first + width * (jnp.arange(points + 1, dtype=axis.dtype) - 0.5)

    def of_line(line: Lines) -> tuple[Float[Array, " points"], Float[Array, ""]]:
        shares = weights * jnp.mean(line.intensity[triangles], axis=-1)
        curve = _histogram(jnp.sort(line.frequency[triangles], axis=-1), shares, edges, width) / width
        return curve, jnp.sum(shares)

    def of_site(own: tuple) -> Float[Array, " points"]:
        curves, areas = jax.lax.map(of_line, kernel(own, directions))
        return jnp.sum(curves, axis=0) / jnp.sum(areas)

    # One site after the other: a site alone already fills the processor, and all at once would fill the memory.
    return jax.lax.map(of_site, tensors)


def _histogram(
    corners: Float[Array, "triangles 3"],
    weights: Float[Array, " triangles"],
    edges: Float[Array, " edges"],
    width: Float[Array, ""],
) -> Float[Array, " bins"]:
    """Weight of the triangles in each bin; piece by piece, and forgotten between the passes of a gradient."""
    pieces = -(-len(weights) // CHUNK)
    padding = pieces * CHUNK - len(weights)
    corners = jnp.pad(corners, ((0, padding), (0, 0))).reshape(pieces, CHUNK, 3)
    weights = jnp.pad(weights, (0, padding)).reshape(pieces, CHUNK)

    @jax.checkpoint
    def add(total, piece):
        below = jax.vmap(_share_below, in_axes=(0, None, None))(piece[0], edges, NARROWEST * width)
        return total + jnp.matmul(piece[1], below, precision=jax.lax.Precision.HIGHEST), None

    below, _ = jax.lax.scan(add, jnp.zeros_like(edges), (corners, weights))
    return below[1:] - below[:-1]


def _share_below(
    corners: Float[Array, "3"], edges: Float[Array, " edges"], narrowest: Float[Array, ""]
) -> Float[Array, " edges"]:
    """Share of a triangle whose frequency, linear between its (ascending) corners, lies below each edge."""
    middle = corners[1]
    left = jnp.maximum(middle - corners[0], narrowest)
    right = jnp.maximum(corners[2] - middle, narrowest)
    # The density is a tent over [middle − left, middle + right] of height 2/(left + right): two parabolas below it.
    rise = jnp.clip(edges - (middle - left), 0.0, left)
    fall = jnp.clip((middle + right) - edges, 0.0, right)
    return (rise * rise / left + right - fall * fall / right) / (left + right)
