"""The canvas that all pictures share: figures without pyplot, one style, colours that colour-blind readers tell apart.

No global settings are changed, no display is needed, and threads do not interfere. Colours are those of Okabe and Ito;
the reference is always grey.
"""

import base64
import io
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.tensors.nuclei import Isotope

BLACK = "#222222"
GREY = "#8C8C8C"
TENSOR = "#0072B2"
SCALAR = "#D55E00"
DIRECT = "#009E73"
RED = "#CC3311"
COLOURS = {"tensor": TENSOR, "scalar": SCALAR}
SERIES = (
    TENSOR,
    SCALAR,
    DIRECT,
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)  # of what is numbered: Okabe and Ito's, without yellow

PANEL = 2.45  # inches
DPI = 200

STYLE = {
    "font.size": 9.0,
    "font.family": "sans-serif",
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.8,
    "axes.edgecolor": BLACK,
    "axes.labelcolor": BLACK,
    "axes.titlesize": 10.0,
    "text.color": BLACK,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}


class Picture(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with style():
            self.savefig(buffer, format="png", dpi=DPI / 2, bbox_inches="tight", pad_inches=0.05)
        return buffer.getvalue()


class Figures(list):
    """A list of figures that a notebook shows below each other."""

    def _repr_html_(self) -> str:
        images = (base64.b64encode(figure._repr_png_()).decode() for figure in self)
        return "".join(f'<img src="data:image/png;base64,{image}" style="max-width: 100%"/><br/>' for image in images)


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure; the suffix (.png, .pdf, .svg) chooses the format."""
    suffix = Path(path).suffix.lstrip(".").lower() or "png"
    if suffix not in figure.canvas.get_supported_filetypes():
        raise InputError("is no picture that can be written; name it *.png, *.pdf or *.svg", file=str(path))
    with atomic_write(path) as temporary, style():
        figure.savefig(temporary, format=suffix, dpi=DPI, bbox_inches="tight", pad_inches=0.05)


def nucleus_name(isotope: Isotope) -> str:
    """A nucleus as mathtext with its mass number as superscript: ¹⁷O."""
    return f"$^{{{isotope.mass_number}}}${isotope.symbol}"


def style() -> AbstractContextManager:
    """Context with the library's matplotlib settings; those of the user stay as they are."""
    return mpl.rc_context(STYLE)
