"""Predictions of fitted regressions, streamed over structures in pieces of centres."""

from collections.abc import Iterable, Iterator, Mapping
from math import sqrt
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.fitted_regressions import FittedRegressions
from efg_jax.gp.irrep_regression import IrrepRegression
from efg_jax.gp.predictor import Predictor
from efg_jax.gp.variance import PieceVariance, require_factors, variance_of_structure
from efg_jax.models.predicted import Choice, Predicted, PredictionOptions, Variance
from efg_jax.parallel import data_mesh, replicated, sharded
from efg_jax.precision import cast
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import Streamed, chunk_size, stream
from efg_jax.structures.targets import Kind, Target, cartesian, place_of


def predict_stream(
    fitted: FittedRegressions, structures: Atoms | Iterable[Atoms], options: PredictionOptions
) -> Iterator[Predicted]:
    """One prediction a structure, in their order; see `FittedModel.predict_stream`.

    Options are checked at once, structures when their turn comes.
    """
    descriptor, target = fitted.descriptor, fitted.target
    if target.per == "structure" and (options.species is not None or options.indices is not None):
        raise InputError(
            f"'{target.name}' belongs to whole structures; leave out species and indices, or train a model per atom"
        )
    choose = Choice(list(fitted.bases), options.species, options.indices)
    size, variance = chunk_size(options.chunk), options.variance
    if variance:
        require_factors(fitted)
        size = min(size, PieceVariance.largest)
    if target.per == "structure":
        choose, of_structure, evaluate = (
            _Contributing(choose),
            _of_structure,
            _PieceEvaluator(fitted, options.dtype, None),
        )
    else:
        of_structure = _of_atoms
        evaluate = _PieceEvaluator(fitted, options.dtype, PieceVariance(fitted, variance) if variance else None)
    streamed = stream(checked(structures), choose, evaluate, float(descriptor.cutoff), descriptor.species, size)
    return (of_structure(fitted, found, variance) for found in streamed)


class _PieceEvaluator:
    """Values ("values", Cartesian) and, if wanted, variances ("variance") of a piece, on this process's devices.

    The references of a species go to the devices once, with its first piece; the devices share the centres of each
    piece.

    Args:
        fitted: the regressions.
        dtype: precision of the values; the means, which are added later, are in float64.
        variance: None: not wanted.
    """

    def __init__(self, fitted: FittedRegressions, dtype: np.dtype, variance: PieceVariance | None):
        self._fitted, self._dtype, self._variance, self._mesh = fitted, dtype, variance, data_mesh()
        self._predictors: dict[str, tuple] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        if symbol not in self._predictors:
            self._predictors[symbol] = replicated(self._prepared(symbol), self._mesh)
        batch = cast(neighbours, self._dtype)
        compiled = sharded(cartesian_values, self._mesh)
        values = {"values": compiled(*self._predictors[symbol], self._fitted.target.kind, batch)}
        if self._variance is not None:
            values["variance"] = self._variance(symbol, neighbours)
        return values

    def _prepared(self, symbol: str) -> tuple[Predictor, dict[Irrep, np.ndarray], LambdaSOAP]:
        """Predictor, scales and descriptor of one species, as `cartesian_values` takes them."""
        predictor = self._fitted.predictor(symbol, np.asarray(self._fitted.zeta, dtype=self._dtype))
        scales = {irrep: np.asarray(regression.scale) for irrep, regression in self._fitted.of(symbol).items()}
        return cast((predictor, scales, self._fitted.descriptor), self._dtype)


def cartesian_values(
    predictor: Predictor,
    scales: Mapping[Irrep, Float[Array | np.ndarray, ""]],
    descriptor: LambdaSOAP,
    kind: Kind,
    neighbours: Neighbours,
) -> Float[Array, "centres ..."]:
    """Predictions of a piece without the means, in the target's unit and shape; pure, for `parallel.sharded`."""
    parts = predictor(descriptor, neighbours)
    return cartesian(kind, {irrep: scales[irrep] * part for irrep, part in parts.items()})


class _Contributing:
    """All atoms of the model's species; a structure needs at least one to take the sum or mean over."""

    def __init__(self, choose: Choice):
        self._choose = choose

    def __call__(self, number: int, atoms: Atoms) -> dict[str, Int[np.ndarray, " _"]]:
        chosen = self._choose(number, atoms)
        if not any(map(len, chosen.values())):
            raise InputError(
                f"contains no {' or '.join(sorted(self._choose.species))}, and the model is a sum or mean over these; "
                "leave it out",
                **place_of(atoms, number),
            )
        return chosen


def _of_atoms(fitted: FittedRegressions, found: Streamed, variance: Variance) -> Predicted:
    values = found.values.get("values", np.full((len(found.atoms), *fitted.target.shape), np.nan))
    for symbol, index in found.centres.items():
        values[index] += _mean(fitted.target, fitted.of(symbol))
    variances = found.values.get("variance", np.full(len(found.atoms), np.nan)) if variance else None
    return Predicted(found.atoms, values, variances, found.described)


def _of_structure(fitted: FittedRegressions, found: Streamed, variance: Variance) -> Predicted:
    values = sum(
        found.values["values"][index].sum(axis=0) + len(index) * _mean(fitted.target, fitted.of(symbol))
        for symbol, index in found.centres.items()
    )
    if not fitted.target.extensive:
        values = values / sum(map(len, found.centres.values()))
    variances = np.asarray(variance_of_structure(fitted, found.atoms, variance)) if variance else None
    return Predicted(found.atoms, np.asarray(values), variances, found.described)


def _mean(target: Target, regressions: Mapping[Irrep, IrrepRegression]) -> Any:
    """The mean of λ = 0, which every centre contributes, in the target's shape."""
    mean = regressions[INVARIANT].mean if INVARIANT in regressions else 0.0
    return mean / sqrt(3.0) * np.eye(3) if target.kind == "matrix" else mean
