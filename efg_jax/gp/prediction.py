"""Prediction of fitted regressions, streamed over pieces of centres."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.irrep_regression import Regression
from efg_jax.gp.predictor import Predictor
from efg_jax.gp.variance import PieceVariance, variance_of_structure
from efg_jax.models.predicted import Choice, Predicted
from efg_jax.parallel import data_mesh, replicated, sharded
from efg_jax.precision import cast
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import Streamed, chunk_size, stream
from efg_jax.structures.targets import Kind, Target, cartesian, place_of
from efg_jax.tensors.irreps import INVARIANT, Irrep

if TYPE_CHECKING:
    from efg_jax.gp.tensor_gpr import FittedTensorGPR


def predict_stream(
    fitted: "FittedTensorGPR",
    structures: Atoms | Iterable[Atoms],
    *,
    variance: bool,
    dtype: np.dtype,
    chunk: int | Literal["auto"],
    species: str | Sequence[str] | None,
    indices: Iterable[int] | None,
) -> Iterator[Predicted]:
    """One prediction a structure, in their order; see `FittedModel.predict_stream`.

    Options are checked at once, structures when their turn comes.
    """
    descriptor, target = fitted.model.descriptor, fitted.target
    per_atom = target.per == "atom"
    if not per_atom and (species is not None or indices is not None):
        raise InputError(
            f"'{target.name}' belongs to whole structures; leave species and indices out, or train a model per atom"
        )
    choose = Choice(list(fitted.bases), species, indices)
    if not per_atom:
        choose = _Contributing(choose)
    piece_variance = PieceVariance(fitted) if variance else None
    size = chunk_size(chunk) if piece_variance is None else min(chunk_size(chunk), piece_variance.largest)
    evaluate = PieceEvaluator(fitted, dtype, piece_variance if per_atom else None)
    streamed = stream(checked(structures), choose, evaluate, float(descriptor.cutoff), descriptor.species, size)
    of_structure = _of_atoms if per_atom else _of_structure
    return (of_structure(fitted, found, variance) for found in streamed)


class PieceEvaluator:
    """Values ("values", Cartesian) and, if wanted, variances ("variance") of a piece of centres, on this process's devices.

    The references of a species go to the devices once, when its first piece comes; the centres of each piece are shared out among them.

    Args:
        fitted: the model.
        dtype: precision of the arithmetic of the values; what they are added to (the means) is float64.
        variance: None: not wanted.
    """

    def __init__(self, fitted: "FittedTensorGPR", dtype: np.dtype, variance: PieceVariance | None):
        self._fitted, self._dtype, self._variance, self._mesh = fitted, dtype, variance, data_mesh()
        self._predictors: dict[str, tuple] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        if symbol not in self._predictors:
            self._predictors[symbol] = replicated(prepared(self._fitted, symbol, self._dtype), self._mesh)
        batch = cast(neighbours, self._dtype)
        compiled = sharded(cartesian_chunk, self._mesh)
        values = {"values": compiled(*self._predictors[symbol], self._fitted.target.kind, batch)}
        if self._variance is not None:
            values["variance"] = self._variance(symbol, neighbours)
        return values


def prepared(
    fitted: "FittedTensorGPR", symbol: str, dtype: np.dtype
) -> tuple[Predictor, dict[Irrep, np.ndarray], LambdaSOAP]:
    """Predictor, scales and descriptor of one species in one precision, as `cartesian_chunk` takes them."""
    scales = {irrep: np.asarray(r.scale, dtype=dtype) for irrep, r in regressions_of(fitted, symbol).items()}
    return (
        cast(predictor_of(fitted, symbol, np.asarray(fitted.model.zeta, dtype=dtype)), dtype),
        scales,
        cast(fitted.model.descriptor, dtype),
    )


def predictor_of(fitted: "FittedTensorGPR", symbol: str, zeta: Float[Array | np.ndarray, ""]) -> Predictor:
    """The predictor of one species."""
    contracted = {irrep: r.contracted[symbol] for irrep, r in regressions_of(fitted, symbol).items()}
    return Predictor.of(fitted.bases[symbol], contracted, zeta)


def cartesian_chunk(
    predictor: Predictor,
    scales: Mapping[Irrep, Float[Array | np.ndarray, ""]],
    descriptor: LambdaSOAP,
    kind: Kind,
    neighbours: Neighbours,
) -> Float[Array, "centres ..."]:
    """Prediction of a piece, in the target's unit and shape but without the means; pure, for `parallel.sharded`."""
    parts = predictor(descriptor, neighbours)
    return cartesian(kind, {irrep: scales[irrep] * part for irrep, part in parts.items()})


def regressions_of(fitted: "FittedTensorGPR", symbol: str) -> dict[Irrep, Regression]:
    """The regressions to which a species contributes."""
    return next(
        by_irrep for by_irrep in fitted.regressions.values() if symbol in next(iter(by_irrep.values())).contracted
    )


class _Contributing:
    """All atoms of the model's species; a structure without any has nothing to sum over."""

    def __init__(self, choose: Choice):
        self._choose = choose

    def __call__(self, number: int, atoms: Atoms) -> dict[str, Int[np.ndarray, " _"]]:
        chosen = self._choose(number, atoms)
        if not any(map(len, chosen.values())):
            raise InputError(
                f"contains no {' or '.join(sorted(self._choose.species))}, which is what the model sums over; leave it out",
                **place_of(atoms, number),
            )
        return chosen


def _of_atoms(fitted: "FittedTensorGPR", found: Streamed, variance: bool) -> Predicted:
    values = found.values.get("values", np.full((len(found.atoms), *fitted.target.shape), np.nan))
    for symbol, index in found.centres.items():
        values[index] += mean_value(fitted.target, regressions_of(fitted, symbol))
    variances = found.values.get("variance", np.full(len(found.atoms), np.nan)) if variance else None
    return Predicted(found.atoms, values, variances, found.described)


def _of_structure(fitted: "FittedTensorGPR", found: Streamed, variance: bool) -> Predicted:
    values = sum(
        found.values["values"][index].sum(axis=0)
        + len(index) * mean_value(fitted.target, regressions_of(fitted, symbol))
        for symbol, index in found.centres.items()
    )
    variances = np.asarray(variance_of_structure(fitted, found.atoms)) if variance else None
    return Predicted(found.atoms, np.asarray(values), variances, found.described)


def mean_value(target: Target, regressions: Mapping[Irrep, Regression]) -> Any:
    """The part of every centre's contribution that is the same everywhere: the mean of λ = 0, in the target's shape."""
    mean = regressions[INVARIANT].mean if INVARIANT in regressions else 0.0
    return mean / sqrt(3.0) * np.eye(3) if target.kind == "matrix" else mean
