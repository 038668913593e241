"""Scalar learning: what the paper compares tensor learning with.

Each number that is derived from an EFG tensor is learned by itself, from features that do not know how the environment is turned.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from efg_jax.crystal_frame import crystal_axes
from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.descriptors.lambda_soap import leaf, settled
from efg_jax.errors import InputError
from efg_jax.io import check_frames
from efg_jax.metrics import Scale, tensor_observables
from efg_jax.models import evaluation, packing
from efg_jax.models.basis import Basis, chunks, gather, select
from efg_jax.models.kernels import invariant_factor
from efg_jax.models.regression import choose_regularisation, factorise, group_rows, spectrum
from efg_jax.models.training import as_group, as_regularisation, check_options, groups_of, training_data
from efg_jax.precision import float64
from efg_jax.report import Report
from efg_jax.structures import Environments
from efg_jax.targets import KNOWN, Target, from_channels, target_of
from efg_jax.tensors.irreps import to_spherical
from efg_jax.tensors.nuclei import Isotope

logger = logging.getLogger(__name__)

METRICS = ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn")
"""The paper's four quantities, and n·V·n along the crystal's z axis, which is ν_Q up to a constant of the nucleus."""
Z_AXIS = tuple(f"z_axis_{m}" for m in range(-2, 3))
"""λ = 2 components, in the crystal frame, of z zᵀ of the principal z axis: an axis that five scalar models can give."""


class FittedScalars(eqx.Module):
    """What training leaves behind for one species; the quantities are the last axis, in the order METRICS + Z_AXIS."""

    basis: Basis
    weights: Float[np.ndarray, "centres quantities"]
    means: Float[np.ndarray, " quantities"]
    scales: Float[np.ndarray, " quantities"]
    regularisations: Float[np.ndarray, " quantities"]
    scale: Scale = eqx.field(static=True)  # μ and σ of |V_zz|


class ScalarGPR(eqx.Module):
    """λ = 0 SOAP regression of C̃_Q, η̃, θ, φ, each by itself (Harper et al. 2025, section 2.4), and of ν_Q directly (Fig. 4a).

    Scalars cannot know a laboratory frame, so θ, φ and ν_Q refer to a field along the z axis of the crystal frame
    (`cell.standard_form`). θ and φ do not fix the principal axes in space; to compare these too, the dyad z zᵀ of the principal z axis
    is learned in the crystal frame, component by component (not in the paper).

    Args:
        descriptor, species, zeta, regularisation, array: as for `TensorGPR`; ρ "auto" is found for each quantity.
        target: name of the EFG.
    """

    descriptor: LambdaSOAP = LambdaSOAP()
    species: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_group)
    target: str = eqx.field(static=True, default="efg")
    zeta: Float[Array | np.ndarray, ""] = eqx.field(default=2.0, converter=leaf)
    regularisation: float | Literal["auto"] = eqx.field(static=True, default="auto", converter=as_regularisation)
    array: str | None = eqx.field(static=True, default=None)
    fitted: dict[str, FittedScalars] | None = None

    def __check_init__(self):
        check_options(self.zeta, self.regularisation)

    def fit(self, structures: Atoms | Iterable[Atoms]) -> "ScalarGPR":
        """Train on structures that carry EFG tensors; returns the fitted model."""
        structures = check_frames(structures, self.target, array=self.array)
        target = _efg_of(self.target, structures)
        descriptor = settled(self.descriptor)
        if descriptor.species is None:
            descriptor = descriptor.with_species(sorted({symbol for atoms in structures for symbol in atoms.symbols}))
        fitted = {}
        with float64():
            for group in groups_of(self.species, target, structures):
                data = training_data(structures, target, group, descriptor, (INVARIANT,))
                frames = np.stack([crystal_axes(structures[number]) for number in data.groups])
                scale = Scale(*map(float, Scale.from_tensors(jnp.asarray(data.values))))
                if not scale.std > 0:
                    raise InputError(
                        f"all |V_zz| of {group[0]} are the same ({scale.mean:.3g} V/Å²), so that C̃_Q has no scale; "
                        "train on more structures"
                    )
                logger.info("%s: fitting %d scalars to %d tensors", group[0], len(METRICS + Z_AXIS), len(data.values))
                quantities = scalar_targets(data.values, frames, scale)
                fitted[group[0]] = self._fit(data.bases[group[0]], quantities, data.groups, scale)
        return replace(self, descriptor=descriptor, zeta=settled(self.zeta), fitted=fitted)

    def _fit(self, basis: Basis, quantities: np.ndarray, groups: np.ndarray, scale: Scale) -> FittedScalars:
        means = quantities.mean(axis=0)
        deviations = quantities.std(axis=0)
        deviations = np.where(deviations > 0, deviations, 1.0)
        y = (quantities - means) / deviations
        invariants = jnp.asarray(basis.invariants)
        kernel = invariant_factor(invariants, invariants, jnp.asarray(self.zeta + 1.0))
        lines = group_rows(groups)
        modes = spectrum(kernel) if self.regularisation == "auto" else None
        weights, chosen = np.empty_like(y), np.empty(y.shape[1])
        for number in range(y.shape[1]):
            column = jnp.asarray(y[:, number])
            chosen[number] = (
                choose_regularisation(*modes, column, lines)[0] if modes is not None else self.regularisation
            )
            factor = factorise(kernel, jnp.asarray(chosen[number]) * jnp.mean(jnp.diag(kernel)))
            weights[:, number] = cho_solve((factor, True), column)
        if not np.isfinite(weights).all():
            raise InputError(
                f"the scalar kernel matrix ({len(y)} atoms) is not positive definite with regularisation {chosen.min():.1e}; "
                "raise it (1e-6 or more) or let it be found with 'auto'"
            )
        return FittedScalars(basis, weights, means, deviations, chosen, scale)

    def predict(self, structures: Atoms | Iterable[Atoms]):
        """Predict the scalars of every atom.

        Returns:
            For one structure a dict of arrays (atoms,): c_q_tilde, eta_tilde, theta, phi (rad), v_nn (V/Å²), and z_axis
            (atoms, 3), a unit vector along the principal z axis in the structure's frame; NaN for other elements. For a list of
            structures a list of dicts.
        """
        fitted = self._require_fitted()
        frames = check_frames(structures)
        with float64():
            predictions = [_as_dict(np.full((len(atoms), len(METRICS + Z_AXIS)), np.nan), atoms) for atoms in frames]
            for symbol, fit in fitted.items():
                chosen = select(frames, symbol)
                if not any(map(len, chosen)):
                    continue
                values = self._predict_species(fit, frames, chosen)
                pieces = np.split(values, np.cumsum([len(index) for index in chosen])[:-1])
                for prediction, atoms, index, piece in zip(predictions, frames, chosen, pieces, strict=True):
                    for name, column in _as_dict(piece, atoms).items():
                        prediction[name][index] = column
        return predictions[0] if isinstance(structures, Atoms) else predictions

    def _predict_species(self, fit: FittedScalars, structures, chosen) -> Float[np.ndarray, "centres quantities"]:
        batch, count = gather(structures, self.descriptor, chosen), sum(map(len, chosen))
        invariants, zeta = jnp.asarray(fit.basis.invariants), jnp.asarray(self.zeta)
        parts = [
            _predict_scalars(self.descriptor, piece, invariants, jnp.asarray(fit.weights), zeta)
            for piece in chunks(batch, count)
        ]
        return fit.means + fit.scales * np.concatenate(parts)[:count]

    def evaluate(
        self, structures: Atoms | Iterable[Atoms], title: str = "", isotopes: Mapping[str, Isotope | str] | None = None
    ) -> Report:
        """Compare predictions with the tensors of structures that were held out; see `TensorGPR.evaluate`."""
        fitted = self._require_fitted()
        structures = check_frames(structures, self.target, array=self.array)
        predicted = self.predict(structures)
        target = _efg_of(self.target, structures)
        scales = {symbol: fit.scale for symbol, fit in fitted.items()}
        return evaluation.scalar_report(structures, predicted, target, scales, isotopes, title)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all."""
        self._require_fitted()
        packing.save(path, self)

    def restored(self, variance: bool = False) -> "ScalarGPR":
        """The model from a file with the features of its training environments computed."""
        with float64():
            fitted = {
                symbol: replace(fit, basis=fit.basis.with_features(self.descriptor, (INVARIANT,)))
                for symbol, fit in self._require_fitted().items()
            }
        return replace(self, fitted=fitted)

    def _require_fitted(self) -> dict[str, FittedScalars]:
        if self.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        return self.fitted


@eqx.filter_jit
def _predict_scalars(
    descriptor: LambdaSOAP,
    environments: Environments,
    invariants: Float[Array, "train invariants"],
    weights: Float[Array, "train quantities"],
    zeta: Float[Array, ""],
) -> Float[Array, "centres quantities"]:
    """Scaled predictions of all quantities, Σ_j (k⁰_xj)^ζ w_j."""
    features = descriptor(environments, (INVARIANT,))[INVARIANT][:, 0]
    return jnp.matmul(invariant_factor(features, invariants, zeta + 1.0), weights, precision=lax.Precision.HIGHEST)


def scalar_targets(
    tensors: Float[np.ndarray, "n 3 3"], frames: Float[np.ndarray, "n 3 3"], scale: Scale
) -> Float[np.ndarray, "n quantities"]:
    """The quantities METRICS + Z_AXIS of EFG tensors.

    Args:
        tensors: V/Å².
        frames: rows are the axes of each structure's crystal frame.
        scale: μ and σ of |V_zz|.
    """
    observables = tensor_observables(jnp.asarray(tensors), jnp.asarray(frames[:, 2]), scale, None)
    z = np.einsum("nij,nj->ni", frames, np.asarray(observables.axes)[:, :, 2])
    dyads = to_spherical(jnp.asarray(z[:, :, None] * z[:, None, :]), 2)
    return np.column_stack([*(np.asarray(getattr(observables, name)) for name in METRICS), np.asarray(dyads)])


def _as_dict(values: np.ndarray, atoms: Atoms) -> dict[str, np.ndarray]:
    """Columns by name; the dyad becomes its leading axis, turned from the crystal frame into the structure's."""
    prediction = {name: values[:, number].copy() for number, name in enumerate(METRICS)}
    dyads = from_channels(KNOWN["efg"], {(2, 1): values[:, len(METRICS) :]})  # symmetric and traceless, as an EFG is
    axis = np.full((len(values), 3), np.nan)
    known = np.isfinite(dyads).all(axis=(1, 2))
    axis[known] = np.linalg.eigh(dyads[known])[1][:, :, -1] @ crystal_axes(atoms)
    return prediction | {"z_axis": axis}


def _efg_of(name: str, structures: Sequence[Atoms]) -> Target:
    target = target_of(name, structures, "atom")
    if target.irreps != ((2, 1),):
        raise InputError(f"scalar learning is for electric field gradients; '{name}' is not symmetric and traceless")
    return target
