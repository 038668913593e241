"""Fitted models to and from what a model file holds: a JSON header and plain arrays."""

from collections.abc import Mapping
from dataclasses import fields
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis
from efg_jax.gp.irrep_regression import Regression
from efg_jax.gp.projected import Projected
from efg_jax.metrics import Scale
from efg_jax.storage.model_files import read_model, write_model
from efg_jax.structures.environments import Environments
from efg_jax.structures.targets import Target

if TYPE_CHECKING:
    from efg_jax.gp.scalar_gpr import ScalarGPR
    from efg_jax.gp.tensor_gpr import TensorGPR
    from efg_jax.network import EquivariantNetwork

Packed = tuple[dict[str, Any], dict[str, np.ndarray]]

_REGRESSION_NUMBERS = ("mean", "scale", "regularisation", "noise", "amplitude", "log_likelihood", "held_out_rms")


def pack_descriptor(descriptor: LambdaSOAP) -> dict[str, Any]:
    """Hyperparameters as JSON values; `LambdaSOAP(**values)` is the inverse."""
    return {
        field.name: value.tolist() if isinstance(value, np.ndarray | jax.Array) else value
        for field in fields(descriptor)
        for value in [getattr(descriptor, field.name)]
    }


def unpack_descriptor(values: Mapping[str, Any]) -> LambdaSOAP:
    """Inverse of `pack_descriptor`."""
    return LambdaSOAP(**{**values, "species": tuple(values["species"])})


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


def unpack_bases(arrays: Mapping[str, np.ndarray], symbols: list[str], empty: bool = False) -> dict[str, Basis]:
    """Inverse of `pack_bases`, without features; ``empty``: of a primal model, which has no environments."""
    if empty:
        return {symbol: Basis(None, np.zeros(0, dtype=int)) for symbol in symbols}
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


def pack_tensors(model: "TensorGPR") -> Packed:
    """Header and arrays of a fitted tensor model; features and Cholesky factors are left out, as they follow from the rest."""
    fitted = model.fitted
    arrays = pack_bases(fitted.bases)
    regressions = []
    for group, by_irrep in fitted.regressions.items():
        for irrep, regression in by_irrep.items():
            arrays |= _pack_posterior(regression, len(regressions))
            numbers = {name: getattr(regression, name) for name in _REGRESSION_NUMBERS}
            regressions.append({"group": list(group), "irrep": list(irrep), **numbers})
    header = {
        "kind": "TensorGPR",
        "descriptor": pack_descriptor(model.descriptor),
        "options": {
            "species": model.species,
            "target": model.target,
            "zeta": float(model.zeta),
            "regularisation": model.regularisation,
            "per": model.per,
            "array": model.array,
            "inducing": model.inducing,
            "selection": model.selection,
            "primal": model.primal,
        },
        "target": fitted.target.to_dict(),
        "scales": pack_scales(fitted.scales),
        "species": list(fitted.bases),
        "regressions": regressions,
    }
    return header, arrays


def _pack_posterior(regression: Regression, number: int) -> dict[str, np.ndarray]:
    """Weights; and of a sparse regression the lower triangle of its factor, which follows from nothing else in the file."""
    arrays = {f"weights/{number}": regression.weights}
    if (projected := regression.projected) is not None:
        arrays[f"factor/{number}"] = projected.factor[np.tril_indices(len(projected.factor))]
        if projected.pivots is not None:
            arrays[f"pivots/{number}"] = projected.pivots
    return arrays


def _unpack_posterior(arrays: Mapping[str, np.ndarray], number: int) -> Projected | None:
    """Inverse of `_pack_posterior`, without the whitening."""
    if (triangle := arrays.get(f"factor/{number}")) is None:
        return None
    size = (isqrt(8 * len(triangle) + 1) - 1) // 2
    factor = np.zeros((size, size))
    factor[np.tril_indices(size)] = triangle
    return Projected(arrays.get(f"pivots/{number}"), factor)


def unpack_tensors(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "TensorGPR":
    """Inverse of `pack_tensors`: weights and environments; the model's ``restored`` computes the features."""
    from efg_jax.gp.tensor_gpr import FittedTensors, TensorGPR

    regressions: dict = {}
    for number, values in enumerate(header["regressions"]):
        group, irrep = tuple(values["group"]), tuple(values["irrep"])
        numbers = {name: values[name] for name in _REGRESSION_NUMBERS}
        regressions.setdefault(group, {})[irrep] = Regression(
            irrep=irrep, weights=arrays[f"weights/{number}"], projected=_unpack_posterior(arrays, number), **numbers
        )
    primal = "primal" in header["options"] and header["options"]["primal"]
    fitted = FittedTensors(
        target=Target.from_dict(header["target"]),
        bases=unpack_bases(arrays, header["species"], primal),
        regressions=regressions,
        scales=unpack_scales(header["scales"]),
    )
    return TensorGPR(descriptor=unpack_descriptor(header["descriptor"]), fitted=fitted, **header["options"])


def pack_scalars(model: "ScalarGPR") -> Packed:
    """Header and arrays of a fitted scalar model."""
    arrays = pack_bases({symbol: fit.basis for symbol, fit in model.fitted.items()})
    for symbol, fit in model.fitted.items():
        arrays[f"weights/{symbol}"] = fit.weights
        arrays[f"normalisation/{symbol}"] = np.stack([fit.means, fit.scales, fit.regularisations])
    header = {
        "kind": "ScalarGPR",
        "descriptor": pack_descriptor(model.descriptor),
        "options": {
            "species": model.species,
            "target": model.target,
            "zeta": float(model.zeta),
            "regularisation": model.regularisation,
            "array": model.array,
        },
        "species": list(model.fitted),
        "scales": pack_scales({symbol: fit.scale for symbol, fit in model.fitted.items()}),
    }
    return header, arrays


def unpack_scalars(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "ScalarGPR":
    """Inverse of `pack_scalars`, without features."""
    from efg_jax.gp.scalar_gpr import FittedScalars, ScalarGPR

    scales = unpack_scales(header["scales"])
    fitted = {}
    for symbol, basis in unpack_bases(arrays, header["species"]).items():
        means, deviations, regularisations = arrays[f"normalisation/{symbol}"]
        fitted[symbol] = FittedScalars(
            basis, arrays[f"weights/{symbol}"], means, deviations, regularisations, scales[symbol]
        )
    return ScalarGPR(descriptor=unpack_descriptor(header["descriptor"]), fitted=fitted, **header["options"])


def save(path: str | Path, model: "TensorGPR | ScalarGPR") -> None:
    """Write a fitted model to one file, whole or not at all."""
    from efg_jax.gp.tensor_gpr import TensorGPR

    write_model(path, *(pack_tensors(model) if isinstance(model, TensorGPR) else pack_scalars(model)))


def load(path: str | Path, *, variance: bool = False) -> "TensorGPR | ScalarGPR | EquivariantNetwork":
    """Read a model that `save` wrote, ready to predict.

    The features of the training environments of a kernel model are computed anew, which takes as long as predicting them once.

    Args:
        path: model file.
        variance: also recompute the Cholesky factors, for ``predict(..., variance=True)``; a network has no need of it.

    Raises:
        InputError: the file is missing, damaged, no model, or of a newer version.
    """
    header, arrays = read_model(path)
    unpack = {"TensorGPR": unpack_tensors, "ScalarGPR": unpack_scalars}.get(header.get("kind"))
    try:
        if header.get("kind") == "EquivariantNetwork":
            from efg_jax.network import EquivariantNetwork

            return EquivariantNetwork.unpack(header, arrays)
        if unpack is None:
            raise KeyError(f"unknown kind {header.get('kind')!r}")
        model = unpack(header, arrays).restored(variance=variance)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"is an efg_jax model with parts missing or unknown ({error}); copy or train it again", file=str(path)
        ) from error
    return model
