"""Pictures, one call each; `save` writes any of them, whole or not at all."""

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
from efg_jax.plots.dataset import dataset_figure, dataset_groups
from efg_jax.plots.ellipsoids import ellipsoids
from efg_jax.plots.histograms import error_figure, regions_figure
from efg_jax.plots.parity import (
    DIRECT_KEYS,
    EXPERIMENT_KHZ,
    Panel,
    compare_figure,
    frequency_figure,
    metrics_figure,
    parity,
    parity_panel,
    target_figure,
)
from efg_jax.plots.sensitivity import sensitivity_figure
from efg_jax.plots.shielding_data import shielding_figure
from efg_jax.plots.spectra import mqmas_figure, spectrum_figure
from efg_jax.plots.training import training_figure
from efg_jax.plots.trajectories import (
    autocorrelation_figure,
    distribution_figure,
    running_figure,
    trajectory_figure,
)
from efg_jax.plots.viewer import view

__all__ = [
    "BLACK",
    "COLOURS",
    "DIRECT",
    "DIRECT_KEYS",
    "DPI",
    "EXPERIMENT_KHZ",
    "GREY",
    "PANEL",
    "RED",
    "SCALAR",
    "SERIES",
    "TENSOR",
    "Figures",
    "Panel",
    "Picture",
    "autocorrelation_figure",
    "compare_figure",
    "dataset_figure",
    "dataset_groups",
    "distribution_figure",
    "ellipsoids",
    "error_figure",
    "frequency_figure",
    "metrics_figure",
    "mqmas_figure",
    "nucleus_name",
    "parity",
    "parity_panel",
    "regions_figure",
    "running_figure",
    "save",
    "sensitivity_figure",
    "shielding_figure",
    "spectrum_figure",
    "style",
    "target_figure",
    "training_figure",
    "trajectory_figure",
    "view",
]
