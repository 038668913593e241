"""Differentiable learning of the tensors behind solid-state NMR: from structures to EFG and shielding, and what a spectrometer sees.

Nothing here changes JAX's configuration: `fit`, `predict`, `evaluate` and `tune` compute in float64 by themselves (see
`efg_jax.precision`). Names are imported when they are first used (PEP 562), so that ``efg-jax --help`` does not wait for JAX.
"""

from importlib import import_module

from efg_jax.version import __version__

_HOMES = {
    "calculator": ("TensorCalculator",),
    "compilation": ("compilation_cache", "compile_quickly"),
    "descriptors": ("LambdaSOAP",),
    "errors": ("InputError",),
    "gp": ("ScalarGPR", "TensorGPR"),
    "learning_curves": ("learning_curve",),
    "models": ("load",),
    "network": ("Architecture", "EquivariantNetwork", "Training"),
    "observables": ("SiteObservables", "site_observables"),
    "precision": ("enable_x64", "x64"),
    "report": ("Report", "TargetReport", "comparison_table"),
    "structures": (
        "Environments",
        "Target",
        "crystal_axes",
        "environments",
        "field_direction",
        "folds",
        "split",
        "target_of",
    ),
    "tuning": ("tune",),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = (
    "datasets",
    "disorder",
    "electrostatics",
    "io",
    "metrics",
    "models",
    "network",
    "observables",
    "parallel",
    "plots",
    "sensitivity",
    "spectra",
    "storage",
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
    "__version__",
    "comparison_table",
    "compilation_cache",
    "compile_quickly",
    "crystal_axes",
    "datasets",
    "disorder",
    "electrostatics",
    "enable_x64",
    "environments",
    "field_direction",
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
    "x64",
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
