"""Figure of a set of shieldings: isotropic shielding, span, and size of the antisymmetric parts, by element."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.plots.canvas import PANEL, SERIES, Picture, style
from efg_jax.precision import x64
from efg_jax.structures.targets import labels, target_of
from efg_jax.tensors import isotropic, maryland, to_spherical

COLUMNS = 3


def shielding_figure(frames: Sequence[Atoms]) -> Picture:
    """Span Ω against isotropic shielding: a panel for each element, a point for each atom.

    The title of a panel has the number of tensors and the rms norm of their antisymmetric parts.

    Args:
        frames: structures with ``arrays["ms"]``, ppm.

    Raises:
        InputError: no labels.
    """
    tensors = _by_element(frames)
    rows = -(-len(tensors) // COLUMNS)
    columns = min(COLUMNS, len(tensors))
    with style():
        figure = Picture(figsize=(1.15 * PANEL * columns, PANEL * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (symbol, own), colour in zip(panels, tensors.items(), SERIES * len(tensors), strict=False):
            with x64():
                values = jnp.asarray(own)
                iso, span = np.asarray(isotropic(values)), np.asarray(maryland(values, sense="shielding").span)
                antisymmetric = np.linalg.norm(np.asarray(to_spherical(values, 1)), axis=-1)
            ax.plot(iso, span, ".", color=colour, markersize=2.5, alpha=0.6, markeredgewidth=0)
            ax.set_title(
                f"{symbol} ({len(own)}), antisymmetric part {np.sqrt(np.mean(antisymmetric**2)):.2g} ppm", fontsize=8
            )
            ax.set_ylim(0, None)
            ax.spines[["top", "right"]].set_visible(False)
        for ax in panels[len(tensors) :]:
            ax.remove()
        figure.supxlabel("$σ_{iso}$ (ppm)", fontsize=9)
        figure.supylabel("Ω (ppm)", fontsize=9)
    return figure


def _by_element(frames: Sequence[Atoms]) -> dict[str, Float[np.ndarray, "labelled 3 3"]]:
    """All labelled tensors, lightest element first."""
    target = target_of("ms", frames)
    found: dict[int, list] = {}
    for atoms in frames:
        tensors = labels([atoms], target)
        labelled = np.isfinite(tensors).all(axis=(1, 2))
        for number, tensor in zip(atoms.numbers[labelled], tensors[labelled], strict=True):
            found.setdefault(int(number), []).append(tensor)
    if not found:
        raise InputError("no atom carries 'ms'; pass structures that have labels")
    symbols = Atoms(numbers=sorted(found)).symbols
    return {str(symbol): np.array(found[number]) for symbol, number in zip(symbols, sorted(found), strict=True)}
