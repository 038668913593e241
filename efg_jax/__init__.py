"""Differentiable learning of the tensors behind solid-state NMR: from structures to EFG and shielding, and what a spectrometer sees.

Nothing here changes JAX's configuration: `fit`, `predict`, `evaluate` and `tune` compute in float64 by themselves (see
`efg_jax.precision`). Names are imported when they are first used (PEP 562), so that ``efg-jax --help`` does not wait for JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from efg_jax import (
        datasets,
        disorder,
        io,
        metrics,
        models,
        network,
        observables,
        parallel,
        plots,
        powder,
        regions,
        sensitivity,
        spectra,
        structures,
        tensors,
        trajectories,
        tuning,
    )
    from efg_jax.calculator import TensorCalculator
    from efg_jax.compilation import compilation_cache, compile_quickly
    from efg_jax.crystal_frame import crystal_axes, field_direction
    from efg_jax.descriptors import LambdaSOAP
    from efg_jax.errors import InputError
    from efg_jax.learning import learning_curve
    from efg_jax.models import ScalarGPR, TensorGPR, load
    from efg_jax.network import Architecture, EquivariantNetwork, Training
    from efg_jax.observables import SiteObservables, site_observables
    from efg_jax.precision import enable_x64, float64
    from efg_jax.report import Report, TargetReport, comparison_table
    from efg_jax.splits import folds, split
    from efg_jax.structures import Environments, environments
    from efg_jax.targets import Target, target_of
    from efg_jax.tuning import tune

__version__ = "0.1.0"

_HOMES = {
    "calculator": ("TensorCalculator",),
    "compilation": ("compilation_cache", "compile_quickly"),
    "crystal_frame": ("crystal_axes", "field_direction"),
    "descriptors": ("LambdaSOAP",),
    "errors": ("InputError",),
    "learning": ("learning_curve",),
    "models": ("ScalarGPR", "TensorGPR", "load"),
    "network": ("Architecture", "EquivariantNetwork", "Training"),
    "observables": ("SiteObservables", "site_observables"),
    "precision": ("enable_x64", "float64"),
    "report": ("Report", "TargetReport", "comparison_table"),
    "splits": ("folds", "split"),
    "structures": ("Environments", "environments"),
    "targets": ("Target", "target_of"),
    "tuning": ("tune",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = (
    "datasets",
    "disorder",
    "io",
    "metrics",
    "models",
    "network",
    "observables",
    "parallel",
    "plots",
    "powder",
    "regions",
    "sensitivity",
    "spectra",
    "structures",
    "tensors",
    "trajectories",
    "tuning",
)

__all__ = [
    "Architecture",
    "Environments",
    "EquivariantNetwork",
    "InputError",
    "LambdaSOAP",
    "Report",
    "ScalarGPR",
    "SiteObservables",
    "Target",
    "TargetReport",
    "TensorCalculator",
    "TensorGPR",
    "Training",
    "comparison_table",
    "compilation_cache",
    "compile_quickly",
    "crystal_axes",
    "datasets",
    "disorder",
    "enable_x64",
    "environments",
    "field_direction",
    "float64",
    "folds",
    "io",
    "learning_curve",
    "load",
    "metrics",
    "models",
    "network",
    "observables",
    "parallel",
    "plots",
    "powder",
    "regions",
    "sensitivity",
    "site_observables",
    "spectra",
    "split",
    "structures",
    "target_of",
    "tensors",
    "trajectories",
    "tune",
    "tuning",
]


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"efg_jax.{name}")
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'efg_jax' has no attribute {name!r}")
    value = getattr(import_module(f"efg_jax.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
