"""Prediction of fitted regressions, streamed over fixed-size chunks of atoms."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.models.basis import cast, chunks, featurise, gather, select
from efg_jax.models.gpr import cross_kernel
from efg_jax.models.kernels import lambda_soap_kernel
from efg_jax.models.predictor import Predictor, predict_chunk
from efg_jax.models.regression import posterior_covariance
from efg_jax.targets import place_of

VARIANCE_CHUNK = 128  # centres whose kernel with all training rows is held at a time

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
    if any(r.factor is None for by_irrep in fitted.regressions.values() for r in by_irrep.values()):
        raise InputError("the model was loaded without what the variance needs; use load(path, variance=True)")
    zeta = jnp.asarray(zeta)
    if fitted.target.per == "atom":
        return _variance_per_atom(descriptor, zeta, fitted, structures)
    return np.array([_variance_of_structure(descriptor, zeta, fitted, atoms) for atoms in structures])


def _variance_per_atom(descriptor, zeta, fitted, structures) -> Float[np.ndarray, " atoms"]:
    atoms_before = np.cumsum([0, *(len(atoms) for atoms in structures)])
    total = np.full(atoms_before[-1], np.nan)
    for (symbol,), regressions in fitted.regressions.items():
        chosen = select(structures, symbol)
        owner = np.repeat(np.arange(len(structures)), [len(index) for index in chosen])
        if len(owner) == 0:
            continue
        rows = 0.0
        batch = gather(structures, descriptor, chosen)
        for regression in regressions.values():
            parts = [
                posterior_traces(
                    featurise(descriptor, piece, (INVARIANT, regression.irrep)),
                    fitted.bases[symbol].features[regression.irrep],
                    fitted.bases[symbol].invariants,
                    regression.factor,
                    zeta,
                    regression.irrep,
                )
                for piece in chunks(batch, len(owner), VARIANCE_CHUNK)
            ]
            rows = rows + np.concatenate(parts)[: len(owner)] * regression.amplitude * regression.scale**2
        total[np.concatenate(chosen) + atoms_before[owner]] = rows
    return total


def _variance_of_structure(descriptor, zeta, fitted, atoms: Atoms) -> float:
    """Padded centres have no features, so that they add nothing to any kernel."""
    (regressions,) = fitted.regressions.values()
    features = {
        symbol: featurise(descriptor, gather([atoms], descriptor, index), (INVARIANT, *fitted.target.irreps))
        for symbol in fitted.bases
        for index in [select([atoms], symbol)]
        if len(index[0])
    }
    variance = 0.0
    for regression in regressions.values():
        rows = len(regression.weights)
        cross = sum(
            cross_kernel(fitted.bases[symbol], regression.irrep, zeta, rows, f).sum(axis=0)
            for symbol, f in features.items()
        )
        prior = sum(cross_kernel(None, regression.irrep, zeta, 0, f).sum(axis=(0, 2)) for f in features.values())
        covariance = posterior_covariance(jnp.asarray(regression.factor), cross.reshape(cross.shape[0], -1).T, prior)
        variance += max(float(jnp.trace(covariance)), 0.0) * regression.amplitude * regression.scale**2
    return variance


@partial(jax.jit, static_argnames="irrep")
def posterior_traces(
    features: dict[Irrep, Float[Array, "centres _ _"]],
    training: Float[Array | np.ndarray, "train components features"],
    invariants: Float[Array | np.ndarray, "train invariants"],
    factor: Float[Array | np.ndarray, "n n"],
    zeta: Float[Array, ""],
    irrep: Irrep,
) -> Float[Array, " centres"]:
    """Trace of each centre's posterior covariance in units of the kernel, k** − ‖L⁻¹ k*‖²: no pair of centres is ever compared."""
    own, own_invariants = features[irrep], features[INVARIANT][:, 0]
    kernel = lambda_soap_kernel(own, jnp.asarray(training), own_invariants, jnp.asarray(invariants), zeta)
    centres, components = own.shape[:2]
    whitened = solve_triangular(jnp.asarray(factor), kernel.reshape(centres * components, -1).T, lower=True)
    explained = jnp.sum(whitened**2, axis=0).reshape(centres, components).sum(axis=1)
    self_invariant = jnp.maximum(jnp.sum(own_invariants**2, axis=1), jnp.finfo(own.dtype).tiny)
    return jnp.maximum(jnp.sum(own**2, axis=(1, 2)) * self_invariant ** (zeta - 1.0) - explained, 0.0)


def _stream(descriptor, zeta, fitted, regressions, symbol, batch, dtype) -> dict[Irrep, np.ndarray]:
    """Scaled predictions for all centres of a batch, chunk after chunk."""
    predictor = cast(Predictor.of(fitted.bases[symbol], regressions, symbol, zeta), dtype)
    count = int(batch.centre_mask.sum())
    parts = [
        jax.tree.map(np.asarray, predict_chunk(predictor, descriptor, piece))
        for piece in chunks(cast(batch, dtype), count)
    ]
    return {irrep: np.concatenate([part[irrep] for part in parts]).astype(np.float64) for irrep in regressions}


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
