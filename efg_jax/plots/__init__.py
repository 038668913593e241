"""Shared by all figures: canvas, colours, scenes of atoms, ellipsoids. Each figure is in the package of its result."""

from efg_jax.plots.canvas import (
    BLACK,
    COLOURS,
    DIRECT,
    DPI,
    GREY,
    PANEL,
    RED,
    SCALAR,
    SERIES,
    TENSOR,
    Figures,
    Picture,
    nucleus_name,
    save,
    style,
)
from efg_jax.plots.ellipsoids import ellipsoids

__all__ = [
    "BLACK",
    "COLOURS",
    "DIRECT",
    "DPI",
    "GREY",
    "PANEL",
    "RED",
    "SCALAR",
    "SERIES",
    "TENSOR",
    "Figures",
    "Picture",
    "ellipsoids",
    "nucleus_name",
    "save",
    "style",
]
