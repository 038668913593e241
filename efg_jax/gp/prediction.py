"""Prediction of fitted regressions, streamed over pieces of centres."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import sqrt
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import cast
from efg_jax.gp.predictor import Predictor
from efg_jax.gp.variance import PieceVariance, variance_of_structure
from efg_jax.parallel import data_mesh, replicated, sharded
from efg_jax.precision import x64
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.indices import check_indices, listed
from efg_jax.structures.streaming import Streamed, chunk_size, stream
from efg_jax.structures.targets import Kind, Target, place_of
from efg_jax.tensors.irreps import spherical_to_vector, to_cartesian

if TYPE_CHECKING:
    from efg_jax.gp.irrep_regression import Regression
    from efg_jax.gp.tensor_gpr import FittedTensors

Precision = Literal["float64", "float32"]


class Predicted(NamedTuple):
    """What a model says of one structure.

    Attributes:
        atoms: the structure, as it was given.
        values: in the target's unit and shape, one an atom (NaN where nothing is predicted) or one for the structure; of a scalar
            model a dict of them.
        variance: posterior variance, summed over components, one an atom or one for the structure; None where it was not asked for.
        centres: indices of the atoms that were described.
    """

    atoms: Atoms
    values: Float[np.ndarray, "..."] | dict[str, Float[np.ndarray, "atoms ..."]]
    variance: Float[np.ndarray, "..."] | None
    centres: Int[np.ndarray, " centres"]


class Choice:
    """Which atoms are predicted: those of the model's species, or fewer of them.

    Args:
        known: the model's species.
        species: elements among them; None: all.
        indices: of atoms in every structure; None: all.

    Raises:
        InputError: an element that is not among them.
    """

    def __init__(self, known: Sequence[str], species: Sequence[str] | None, indices: Sequence[int] | None):
        wanted = (species,) if isinstance(species, str) else species
        if unknown := [symbol for symbol in wanted or () if symbol not in known]:
            raise InputError(f"the model predicts nothing for {unknown[0]}; it was trained for {', '.join(known)}")
        self.species = tuple(known) if wanted is None else tuple(dict.fromkeys(wanted))
        self._indices = None if indices is None else listed(indices)

    def __call__(self, number: int, atoms: Atoms) -> dict[str, Int[np.ndarray, " _"]]:
        """Indices by element, in ascending order."""
        if self._indices is None:
            return {symbol: np.flatnonzero(atoms.numbers == atomic_numbers[symbol]) for symbol in self.species}
        check_indices(self._indices, atoms, number)
        numbers = atoms.numbers[self._indices]
        return {symbol: self._indices[numbers == atomic_numbers[symbol]] for symbol in self.species}


def predict_stream(
    descriptor: LambdaSOAP,
    zeta: Float[Array | np.ndarray, ""],
    fitted: "FittedTensors",
    structures: Atoms | Iterable[Atoms],
    *,
    variance: bool,
    precision: Precision,
    chunk: int | Literal["auto"],
    species: Sequence[str] | None,
    indices: Sequence[int] | None,
) -> Iterator[Predicted]:
    """One prediction a structure, in their order; see `TensorGPR.predict_stream`.

    Options are checked at once, structures when their turn comes.
    """
    if precision not in ("float64", "float32"):
        raise InputError(f"precision = {precision!r} is unknown; choose 'float64' or 'float32'")
    per_atom = fitted.target.per == "atom"
    if not per_atom and (species is not None or indices is not None):
        raise InputError(
            f"'{fitted.target.name}' belongs to whole structures; leave species and indices out, or train a model per atom"
        )
    choose = Choice(list(fitted.bases), species, indices)
    if not per_atom:
        choose = _Contributing(choose)
    piece_variance = PieceVariance(descriptor, zeta, fitted) if variance else None
    size = chunk_size(chunk) if piece_variance is None else min(chunk_size(chunk), piece_variance.largest)
    evaluate = PieceEvaluator(descriptor, zeta, fitted, np.dtype(precision), piece_variance if per_atom else None)
    streamed = stream(checked(structures), choose, evaluate, float(descriptor.cutoff), descriptor.species, size)
    if per_atom:
        return (_of_atoms(fitted, found, variance) for found in streamed)
    return (_of_structure(descriptor, zeta, fitted, found, variance) for found in streamed)


def collected(found: Iterable[Predicted], structures: Atoms | Iterable[Atoms], known: Sequence[str], variance: bool):
    """What `predict` returns: values of all structures of a stream, with their variances if they are wanted; of one structure no list.

    Args:
        found: the stream.
        structures: as they were given to ``predict``.
        known: elements of the model.
        variance: whether it is wanted.

    Raises:
        InputError: no structure has an atom that is predicted.
    """
    values, variances, present, count = [], [], set(), 0
    for one in found:
        values.append(one.values)
        variances.append(one.variance)
        present.update(one.atoms.symbols)
        count += len(one.centres)
    if count == 0:
        raise nothing_to_predict(known, present)
    if isinstance(structures, Atoms):
        values, variances = values[0], variances[0]
    return (values, variances) if variance else values


def nothing_to_predict(wanted: Iterable[str], present: Iterable[str]) -> InputError:
    """The error where no structure has an atom that is predicted.

    Args:
        wanted: elements of the model.
        present: elements of the structures.
    """
    return InputError(
        f"nothing to predict: the model is for {', '.join(sorted(wanted))}, and the structures contain "
        f"{', '.join(sorted(present)) or 'no atoms'}"
    )


class PieceEvaluator:
    """What is predicted of a piece of centres, on the devices of this process: "values" in Cartesian form, and "variance" if it is asked for.

    The references of a species go to the devices once, when its first piece comes; the centres of each piece are shared out among them.

    Args:
        descriptor, zeta, fitted: of the model.
        dtype: precision of the arithmetic of the values; what they are added to (the means) is float64.
        variance: None: not wanted.
    """

    def __init__(self, descriptor, zeta, fitted: "FittedTensors", dtype: np.dtype, variance: PieceVariance | None):
        self._descriptor, self._zeta, self._fitted = cast(descriptor, dtype), np.asarray(zeta, dtype=dtype), fitted
        self._dtype, self._variance, self._mesh = dtype, variance, data_mesh()
        self._predictors: dict[str, tuple] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        with x64(self._dtype == np.float64):
            if symbol not in self._predictors:
                self._predictors[symbol] = self._prepared(symbol)
            batch = cast(neighbours, self._dtype)
            compiled = sharded(cartesian_chunk, self._mesh)
            values = {"values": compiled(*self._predictors[symbol], self._fitted.target.kind, batch)}
        if self._variance is not None:
            values["variance"] = self._variance(symbol, neighbours)
        return values

    def _prepared(self, symbol: str) -> tuple[Predictor, dict[Irrep, Array], LambdaSOAP]:
        regressions = regressions_of(self._fitted, symbol)
        predictor = cast(Predictor.of(self._fitted.bases[symbol], regressions, symbol, self._zeta), self._dtype)
        scales = {irrep: np.asarray(r.scale, dtype=self._dtype) for irrep, r in regressions.items()}
        return replicated((predictor, scales, self._descriptor), self._mesh)


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


def cartesian(kind: Kind, components: Mapping[Irrep, Float[Array, "centres _"]]) -> Float[Array, "centres ..."]:
    """Values of a target's shape from their spherical components; pure and differentiable."""
    parts = {irrep[0]: part for irrep, part in components.items()}
    if kind == "scalar":
        return parts[0][:, 0]
    return spherical_to_vector(parts[1]) if kind == "vector" else to_cartesian(parts)


def regressions_of(fitted: "FittedTensors", symbol: str) -> "dict[Irrep, Regression]":
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


def _of_atoms(fitted: "FittedTensors", found: Streamed, variance: bool) -> Predicted:
    values = found.values.get("values", np.full((len(found.atoms), *fitted.target.shape), np.nan))
    for symbol, index in found.centres.items():
        values[index] += mean_value(fitted.target, regressions_of(fitted, symbol))
    variances = found.values.get("variance", np.full(len(found.atoms), np.nan)) if variance else None
    return Predicted(found.atoms, values, variances, found.described)


def _of_structure(descriptor, zeta, fitted: "FittedTensors", found: Streamed, variance: bool) -> Predicted:
    values = sum(
        found.values["values"][index].sum(axis=0)
        + len(index) * mean_value(fitted.target, regressions_of(fitted, symbol))
        for symbol, index in found.centres.items()
    )
    variances = np.asarray(variance_of_structure(descriptor, zeta, fitted, found.atoms)) if variance else None
    return Predicted(found.atoms, np.asarray(values), variances, found.described)


def mean_value(target: Target, regressions: "Mapping[Irrep, Regression]") -> Any:
    """What every centre contributes beside its environment: the mean of the λ = 0 part, in the target's shape."""
    mean = regressions[INVARIANT].mean if INVARIANT in regressions else 0.0
    return mean / sqrt(3.0) * np.eye(3) if target.kind == "matrix" else mean
