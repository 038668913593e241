"""Prediction of fitted regressions, streamed over fixed-size chunks of atoms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.models.basis import cast, chunks, featurise, gather, select
from efg_jax.models.gpr import Regression, cross_kernel, predict_chunk
from efg_jax.models.regression import posterior_covariance
from efg_jax.targets import place_of

if TYPE_CHECKING:
    from efg_jax.models.tensor_gpr import FittedTensors


def predict_channels(
    descriptor: LambdaSOAP,
    zeta: Float[Array | np.ndarray, ""],
    fitted: "FittedTensors",
    structures: Sequence[Atoms],
    dtype: np.dtype,
) -> dict[Irrep, Float[np.ndarray, "rows _"]]:
    """Spherical components of the target: one row an atom (NaN where its element is not predicted), or one a structure.

    Args:
        descriptor, zeta, fitted: of the model.
        structures: checked frames.
        dtype: precision of the arithmetic.

    Raises:
        InputError: none of the structures has an atom of the model's species, or one has an element that is unknown to it.
    """
    atoms_before = np.cumsum([0, *(len(atoms) for atoms in structures)])
    per_atom = fitted.target.per == "atom"
    rows = atoms_before[-1] if per_atom else len(structures)
    _require_species(fitted, structures)
    channels = {irrep: np.full((rows, 2 * irrep[0] + 1), np.nan if per_atom else 0.0) for irrep in fitted.target.irreps}
    descriptor, zeta = cast(descriptor, dtype), np.asarray(zeta, dtype=dtype)
    for regressions in fitted.regressions.values():
        for symbol in next(iter(regressions.values())).contracted:
            chosen = select(structures, symbol)
            owner = np.repeat(np.arange(len(structures)), [len(index) for index in chosen])
            if len(owner) == 0:
                continue
            scaled = _stream(
                descriptor, zeta, fitted, regressions, symbol, gather(structures, descriptor, chosen), dtype
            )
            for irrep, part in scaled.items():
                regression = regressions[irrep]
                values = regression.mean + regression.scale * part[: len(owner)]
                if per_atom:
                    channels[irrep][np.concatenate(chosen) + atoms_before[owner]] = values
                else:
                    np.add.at(channels[irrep], owner, values)
    return channels


def predict_variance(
    descriptor: LambdaSOAP, zeta: Float[Array | np.ndarray, ""], fitted: "FittedTensors", structures: Sequence[Atoms]
) -> Float[np.ndarray, " rows"]:
    """Posterior variance of the target, summed over its components; rows as in `predict_channels`.

    Raises:
        InputError: the model was loaded without its Cholesky factors.
    """
    atoms_before = np.cumsum([0, *(len(atoms) for atoms in structures)])
    per_atom = fitted.target.per == "atom"
    total = np.full(atoms_before[-1], np.nan) if per_atom else np.zeros(len(structures))
    for group, regressions in fitted.regressions.items():
        chosen = {symbol: select(structures, symbol) for symbol in group}
        features = {
            symbol: featurise(descriptor, gather(structures, descriptor, index), (INVARIANT, *fitted.target.irreps))
            for symbol, index in chosen.items()
            if sum(map(len, index))
        }
        for number in range(len(structures)):
            for symbol in features if per_atom else (None,):
                variance, count = 0.0, 0
                for regression in regressions.values():
                    rows = _features_of_structure(features, chosen, number, symbol)
                    part, count = _variance(regression, fitted, zeta, rows, per_atom)
                    variance = variance + part
                if count and per_atom:
                    total[chosen[symbol][number] + atoms_before[number]] = variance
                elif count:
                    total[number] = variance[0]
    return total


def _stream(descriptor, zeta, fitted, regressions, symbol, batch, dtype) -> dict[Irrep, np.ndarray]:
    """Scaled predictions for all centres of a batch, chunk after chunk."""
    basis = fitted.bases[symbol]
    invariants = jnp.asarray(basis.invariants, dtype=dtype)
    contracted = {irrep: jnp.asarray(r.contracted[symbol], dtype=dtype) for irrep, r in regressions.items()}
    count = int(batch.centre_mask.sum())
    parts = [
        jax.tree.map(np.asarray, predict_chunk(descriptor, piece, invariants, contracted, jnp.asarray(zeta)))
        for piece in chunks(cast(batch, dtype), count)
    ]
    return {irrep: np.concatenate([part[irrep] for part in parts]).astype(np.float64) for irrep in contracted}


def _features_of_structure(features, chosen, number, only):
    """Features of one structure's centres by species."""
    rows = {}
    for symbol, values in features.items():
        if only in (None, symbol):
            start = sum(len(index) for index in chosen[symbol][:number])
            stop = start + len(chosen[symbol][number])
            rows[symbol] = {irrep: p[start:stop] for irrep, p in values.items()}
    return rows


def _variance(regression: Regression, fitted: "FittedTensors", zeta, rows, per_atom: bool) -> tuple[np.ndarray, int]:
    """Trace of the posterior covariance for each centre, or for the sum over a structure's centres."""
    if regression.factor is None:
        raise InputError("the model was loaded without what the variance needs; use load(path, variance=True)")
    components = 2 * regression.irrep[0] + 1
    training_rows = len(regression.weights)
    bases = fitted.bases
    cross, prior, count = 0.0, 0.0, 0
    for symbol, features in rows.items():
        centres = features[INVARIANT].shape[0]
        if centres == 0:
            continue
        count += centres
        block = cross_kernel(bases[symbol], regression.irrep, zeta, training_rows, features)
        own = cross_kernel(None, regression.irrep, zeta, centres, features)
        if per_atom:
            cross = block.reshape(centres * components, -1)
            prior = own.reshape(centres * components, centres * components)
        else:
            cross = cross + block.sum(axis=0).reshape(components, -1)
            prior = prior + own.sum(axis=(0, 2))
    if count == 0:
        return np.zeros(1), 0
    covariance = posterior_covariance(jnp.asarray(regression.factor), cross.T, prior)
    trace = jnp.maximum(jnp.diag(covariance), 0.0).reshape(-1, components).sum(axis=1)
    return np.asarray(trace) * regression.amplitude * regression.scale**2, count


def _require_species(fitted: "FittedTensors", structures: Sequence[Atoms]) -> None:
    wanted = set(fitted.bases)
    for number, atoms in enumerate(structures if fitted.target.per == "structure" else ()):
        if not wanted & set(atoms.symbols):
            raise InputError(
                f"contains no {' or '.join(sorted(wanted))}, which is what the model sums over; leave it out",
                **place_of(atoms, number),
            )
    if not any(wanted & set(atoms.symbols) for atoms in structures):
        raise InputError(
            f"nothing to predict: the model is for {', '.join(sorted(wanted))}, and the structures contain "
            f"{', '.join(sorted({symbol for atoms in structures for symbol in atoms.symbols})) or 'no atoms'}"
        )
