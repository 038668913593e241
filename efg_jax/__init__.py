"""Differentiable learning of the tensors behind solid-state NMR, from atomic structures to what a spectrometer
measures.

Importing efg_jax does not change JAX's configuration: `fit`, `predict`, `evaluate` and `tune` compute in float64 by
themselves (see `efg_jax.precision`). Names are imported when they are first used, so that ``efg-jax --help`` does not
wait for JAX.
"""

import lazy_loader

from efg_jax.version import __version__ as __version__

# The public names, by the module that has them.
_NAMES = {
    "auditing": ["audit"],
    "calculator": ["TensorCalculator"],
    "compilation": ["compilation_cache", "compile_quickly"],
    "descriptors": ["LambdaSOAP"],
    "errors": ["InputError"],
    "gp": ["ScalarGPR", "TensorGPR"],
    "learning_curves": ["learning_curve"],
    "models": ["annotated", "load"],
    "prediction_files": ["predict_to_file"],
    "network": ["EquivariantNetwork"],
    "observables": ["SiteObservables", "site_observables"],
    "precision": ["enable_x64", "x64"],
    "report": ["comparison_table"],
    "structures": ["crystal_axes", "environments", "field_direction", "folds", "split"],
    "tuning": ["tune"],
}
_MODULES = [
    "auditing",
    "datasets",
    "descriptors",
    "disorder",
    "electrostatics",
    "gp",
    "io",
    "learning_curves",
    "metrics",
    "models",
    "network",
    "observables",
    "parallel",
    "plots",
    "report",
    "sensitivity",
    "spectra",
    "structures",
    "tensors",
    "trajectories",
    "tuning",
]

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=_MODULES, submod_attrs=_NAMES)
