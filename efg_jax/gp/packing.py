"""Parts of fitted kernel models as JSON types and plain arrays, which a model file holds, and back."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isqrt
from typing import Any

import numpy as np

from efg_jax.gp.basis import Basis
from efg_jax.gp.fitted_regressions import Regressions
from efg_jax.gp.irrep_regression import IrrepRegression
from efg_jax.gp.sparse_posterior import SparsePosterior
from efg_jax.metrics import Scale
from efg_jax.structures.environments import Environments

_NUMBERS = ("mean", "scale", "regularisation", "noise", "amplitude", "log_likelihood", "held_out_rms")


def pack_bases(bases: Mapping[str, Basis]) -> dict[str, np.ndarray]:
    """Environments and rows of each species as named arrays."""
    arrays = {}
    for symbol, basis in bases.items():
        if basis.environments is None:
            continue
        arrays[f"basis/{symbol}/rows"] = basis.rows
        for field in fields(Environments):
            arrays[f"basis/{symbol}/{field.name}"] = np.asarray(getattr(basis.environments, field.name))
    return arrays


def unpack_bases(arrays: Mapping[str, np.ndarray], symbols: Sequence[str], empty: bool = False) -> dict[str, Basis]:
    """Inverse of `pack_bases`, without features.

    Args:
        arrays: of the file.
        symbols: species.
        empty: the model is primal and has no environments.
    """
    if empty:
        return {symbol: Basis.empty() for symbol in symbols}
    return {
        symbol: Basis(
            Environments(**{field.name: arrays[f"basis/{symbol}/{field.name}"] for field in fields(Environments)}),
            arrays[f"basis/{symbol}/rows"],
        )
        for symbol in symbols
    }


def pack_scales(scales: Mapping[str, Scale]) -> dict[str, list[float]]:
    """μ and σ by species."""
    return {symbol: [float(scale.mean), float(scale.std)] for symbol, scale in scales.items()}


def unpack_scales(values: Mapping[str, list[float]]) -> dict[str, Scale]:
    """Inverse of `pack_scales`."""
    return {symbol: Scale(*scale) for symbol, scale in values.items()}


def pack_regressions(regressions: Regressions) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Numbers of each regression as JSON types, and its arrays. Features and contractions follow from the rest."""
    entries, arrays = [], {}
    for group, by_irrep in regressions.items():
        for irrep, regression in by_irrep.items():
            arrays |= _pack_posterior(regression, len(entries))
            numbers = {name: getattr(regression, name) for name in _NUMBERS}
            entries.append({"group": list(group), "irrep": list(irrep), **numbers})
    return entries, arrays


def unpack_regressions(entries: Any, arrays: Mapping[str, np.ndarray]) -> Regressions:
    """Inverse of `pack_regressions`; ``entries`` come from a file and are not checked."""
    regressions: Regressions = {}
    for number, values in enumerate(entries):
        group, irrep = tuple(values["group"]), tuple(values["irrep"])
        regressions.setdefault(group, {})[irrep] = IrrepRegression(
            irrep=irrep,
            weights=arrays[f"weights/{number}"],
            sparse=_unpack_posterior(arrays, number),
            **{name: values[name] for name in _NUMBERS},
        )
    return regressions


def _pack_posterior(regression: IrrepRegression, number: int) -> dict[str, np.ndarray]:
    """Weights, and for a sparse regression its pivots and the lower triangle of its factor."""
    arrays = {f"weights/{number}": regression.weights}
    if (posterior := regression.sparse) is not None:
        arrays[f"factor/{number}"] = posterior.factor[np.tril_indices(len(posterior.factor))]
        if posterior.pivots is not None:
            arrays[f"pivots/{number}"] = posterior.pivots
    return arrays


def _unpack_posterior(arrays: Mapping[str, np.ndarray], number: int) -> SparsePosterior | None:
    """Inverse of `_pack_posterior`, without the whitening."""
    if (triangle := arrays.get(f"factor/{number}")) is None:
        return None
    size = (isqrt(8 * len(triangle) + 1) - 1) // 2
    factor = np.zeros((size, size))
    factor[np.tril_indices(size)] = triangle
    return SparsePosterior(arrays.get(f"pivots/{number}"), factor)
