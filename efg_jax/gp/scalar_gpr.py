"""Scalar learning: what the paper compares tensor learning with.

Each number that is derived from an EFG tensor is learned by itself, from features that do not know how the environment is turned.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.descriptors.lambda_soap import leaf, settled
from efg_jax.errors import InputError
from efg_jax.gp import packing
from efg_jax.gp.basis import Basis
from efg_jax.gp.kernels import invariant_factor
from efg_jax.gp.labelled import as_group, as_regularisation, check_options, groups_of, labelled, training_data
from efg_jax.gp.prediction import Choice, Predicted, collected
from efg_jax.gp.predictor import filled, repeated, shared_size
from efg_jax.gp.regression import choose_regularisation, factorise, group_rows, solve, spectrum
from efg_jax.metrics import Scale, tensor_observables
from efg_jax.precision import x64
from efg_jax.report import Report, judging
from efg_jax.structures.checks import check_frames, checked
from efg_jax.structures.crystal_frame import crystal_axes
from efg_jax.structures.environments import Neighbours, bucket
from efg_jax.structures.streaming import Streamed, chunk_size, stream
from efg_jax.structures.targets import KNOWN, Target, from_channels, target_of, to_channels
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
        with x64():
            for group in groups_of(self.species, target, structures):
                found = labelled(structures, target, group)
                data = training_data(found, descriptor, (INVARIANT,))
                frames = np.stack([crystal_axes(found.structures[number]) for number in data.groups])
                scale = Scale.of_data(data.values)
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
        invariants = jax.device_put(basis.invariants)
        kernel = _kernel(invariants, invariants, np.asarray(self.zeta + 1.0))
        lines = group_rows(groups)
        modes = spectrum(kernel) if self.regularisation == "auto" else None
        weights, chosen = np.empty_like(y), np.empty(y.shape[1])
        for number in range(y.shape[1]):
            column = jax.device_put(y[:, number])
            chosen[number] = (
                choose_regularisation(*modes, column, lines)[0] if modes is not None else self.regularisation
            )
            weights[:, number] = _weights(kernel, column, chosen[number])
        if not np.isfinite(weights).all():
            raise InputError(
                f"the scalar kernel matrix ({len(y)} atoms) is not positive definite with regularisation {chosen.min():.1e}; "
                "raise it (1e-6 or more) or let it be found with 'auto'"
            )
        return FittedScalars(basis, weights, means, deviations, chosen, scale)

    @property
    def known(self) -> list[str]:
        """Elements that the fitted model predicts."""
        return list(self._require_fitted())

    def predict(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        chunk: int | Literal["auto"] = "auto",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ):
        """Predict the scalars of every atom.

        Args:
            structures, chunk, species, indices: as for `TensorGPR.predict`.

        Returns:
            For one structure a dict of arrays (atoms,): c_q_tilde, eta_tilde, theta, phi (rad), v_nn (V/Å²), and z_axis
            (atoms, 3), a unit vector along the principal z axis in the structure's frame; NaN for atoms that are not predicted. For an
            iterable of structures a list of dicts.

        Raises:
            InputError: the model is not fitted, an element that it was not trained on, or nothing to predict.
        """
        found = self.predict_stream(structures, chunk=chunk, species=species, indices=indices)
        return collected(found, structures, self.known, variance=False)

    def predict_stream(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        chunk: int | Literal["auto"] = "auto",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Iterator[Predicted]:
        """The same for a trajectory of any length: one `Predicted` a structure, whose values are a dict; see `TensorGPR.predict_stream`."""
        fitted = self._require_fitted()
        evaluate = _ScalarEvaluator(self.descriptor, self.zeta, fitted)
        choose = Choice(self.known, species, indices)
        cutoff, size = float(self.descriptor.cutoff), chunk_size(chunk)
        streamed = stream(checked(structures), choose, evaluate, cutoff, self.descriptor.species, size)
        return (_scalars_of(fitted, found) for found in streamed)

    def evaluate(
        self, structures: Atoms | Iterable[Atoms], title: str = "", isotopes: Mapping[str, Isotope | str] | None = None
    ) -> Report:
        """Compare predictions with the tensors of structures that were held out; see `TensorGPR.evaluate`."""
        fitted = self._require_fitted()
        structures = check_frames(structures, self.target, array=self.array)
        predicted = self.predict(structures)
        target = _efg_of(self.target, structures)
        scales = {symbol: fit.scale for symbol, fit in fitted.items()}
        return judging.scalar_report(structures, predicted, target, scales, isotopes, title)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all."""
        self._require_fitted()
        packing.save(path, self)

    def restored(self, variance: bool = False) -> "ScalarGPR":
        """The model from a file with the features of its training environments computed."""
        with x64():
            fitted = {
                symbol: replace(fit, basis=fit.basis.with_features(self.descriptor, (INVARIANT,)))
                for symbol, fit in self._require_fitted().items()
            }
        return replace(self, fitted=fitted)

    def _require_fitted(self) -> dict[str, FittedScalars]:
        if self.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        return self.fitted


_kernel = jax.jit(invariant_factor)


@jax.jit
def _weights(kernel, targets, regularisation):
    return solve(factorise(kernel, regularisation * jnp.mean(jnp.diag(kernel))), targets)


class _ScalarEvaluator:
    """Scaled predictions of a piece of centres, on the device (float64); the references of a species go there once."""

    def __init__(self, descriptor: LambdaSOAP, zeta: Float[Array | np.ndarray, ""], fitted: dict[str, FittedScalars]):
        self._descriptor, self._zeta, self._fitted = descriptor, zeta, fitted
        self._references: dict[str, tuple[Array, Array]] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        with x64():
            if symbol not in self._references:
                fit, size = self._fitted[symbol], shared_size(self._fitted[symbol].basis.size)
                self._references[symbol] = jax.device_put(
                    (repeated(fit.basis.invariants, size), filled(fit.weights, size))
                )
            return {
                "values": _predict_scalars(
                    self._descriptor, neighbours, *self._references[symbol], np.asarray(self._zeta)
                )
            }


@eqx.filter_jit
def _predict_scalars(
    descriptor: LambdaSOAP,
    neighbours: Neighbours,
    invariants: Float[Array, "train invariants"],
    weights: Float[Array, "train quantities"],
    zeta: Float[Array | np.ndarray, ""],
) -> Float[Array, "centres quantities"]:
    """Scaled predictions of all quantities, Σ_j (k⁰_xj)^ζ w_j."""
    features = descriptor(neighbours, (INVARIANT,))[INVARIANT][:, 0]
    return jnp.matmul(invariant_factor(features, invariants, zeta + 1.0), weights, precision=lax.Precision.HIGHEST)


def _scalars_of(fitted: dict[str, FittedScalars], found: Streamed) -> Predicted:
    scaled = found.values.get("values", np.full((len(found.atoms), len(METRICS + Z_AXIS)), np.nan))
    for symbol, index in found.centres.items():
        scaled[index] = fitted[symbol].means + fitted[symbol].scales * scaled[index]
    return Predicted(found.atoms, _as_dict(scaled, found.atoms), None, found.described)


def scalar_targets(
    tensors: Float[np.ndarray, "n 3 3"], frames: Float[np.ndarray, "n 3 3"], scale: Scale
) -> Float[np.ndarray, "n quantities"]:
    """The quantities METRICS + Z_AXIS of EFG tensors.

    Args:
        tensors: V/Å².
        frames: rows are the axes of each structure's crystal frame.
        scale: μ and σ of |V_zz|.
    """
    # Filled up with the last one: data sets of similar size share a compilation.
    rows, padding = len(tensors), (0, bucket(len(tensors)) - len(tensors))
    observables = _observables(
        np.pad(tensors, [padding, (0, 0), (0, 0)], mode="edge"),
        np.pad(frames[:, 2], [padding, (0, 0)], mode="edge"),
        scale,
    )
    z = np.einsum("nij,nj->ni", frames, np.asarray(observables.axes)[:rows, :, 2])
    dyads = to_channels(KNOWN["efg"], z[:, :, None] * z[:, None, :])[2, 1]  # of which the trace is left out
    return np.column_stack([*(np.asarray(getattr(observables, name))[:rows] for name in METRICS), dyads])


_observables = jax.jit(lambda tensors, directions, scale: tensor_observables(tensors, directions, scale, None))


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
