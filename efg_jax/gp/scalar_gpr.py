"""Scalar learning, with which the paper compares tensor learning.

Each number derived from an EFG tensor is learned by itself, from features that do not change under rotation.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis, featurise
from efg_jax.gp.cross_validation import HeldOutScalars
from efg_jax.gp.gaussian_process import choose_regularisation, eigenmodes, factorise, group_rows, solve
from efg_jax.gp.kernel_model import FittedKernelModel, KernelModel
from efg_jax.gp.kernel_tuning import CrossValidation, KernelTuning
from efg_jax.gp.kernels import soap_kernel
from efg_jax.gp.labelled_structures import LabelledStructures, labelled_structures, species_groups
from efg_jax.gp.packing import pack_bases, pack_scales, unpack_bases, unpack_scales
from efg_jax.gp.predictor import filled, repeated, shared_size
from efg_jax.gp.scalar_targets import METRICS, Z_AXIS, scalar_targets
from efg_jax.metrics import Scale
from efg_jax.models.predicted import Choice, Predicted, PredictionOptions
from efg_jax.models.protocol import Packed, Progress
from efg_jax.precision import x64
from efg_jax.report import Report
from efg_jax.report.judging import scalar_report
from efg_jax.structures.checks import check_frames, checked
from efg_jax.structures.crystal_frame import crystal_axes
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.structures.streaming import Streamed, chunk_size, stream
from efg_jax.structures.targets import KNOWN, Target, from_irreps, target_of
from efg_jax.tensors.irreps import INVARIANT
from efg_jax.tensors.nuclei import Isotope

logger = logging.getLogger(__name__)


class FittedScalars(eqx.Module):
    """Fitted regressions of one species; the quantities METRICS + Z_AXIS are the last axis, in this order."""

    basis: Basis
    weights: Float[np.ndarray, "centres quantities"]
    means: Float[np.ndarray, " quantities"]
    scales: Float[np.ndarray, " quantities"]
    regularisations: Float[np.ndarray, " quantities"]
    scale: Scale = eqx.field(static=True)  # μ and σ of |V_zz|


class ScalarGPR(KernelModel):
    """λ = 0 SOAP regression of C̃_Q, η̃, θ and φ, each by itself (Harper et al. 2025, section 2.4), and of ν_Q.

    Scalars know no laboratory frame, so θ, φ and ν_Q refer to a field along the z axis of the crystal frame
    (`cell.standard_form`). θ and φ do not fix the principal axes in space; to compare these too, the dyad z zᵀ of the
    principal z axis is learned in the crystal frame, component by component (not in the paper).

    Args:
        descriptor, species, target, zeta, regularisation, array: see `KernelModel`; the target is an EFG, and ρ "auto"
            is found for each quantity.
    """

    kind: ClassVar[str] = "scalar"

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> "FittedScalarGPR":
        """Train on structures that carry EFG tensors; see `Model.fit`. A scalar model is fitted in one piece."""
        structures = check_frames(structures, self.target, array=self.array)
        target = target_of(self.target, structures, "atom")
        self.check_target(target)
        model = self.settled_for(structures)
        by_species = {}
        with x64():
            for group in species_groups(self.species, target, structures):
                by_species[group[0]] = model._fit(labelled_structures(structures, target, group))
        return FittedScalarGPR(model, target, by_species)

    def check_target(self, target: Target) -> None:
        """Only EFGs of atoms have the quantities that a scalar model learns."""
        if target.per != "atom" or target.irreps != ((2, 1),):
            raise InputError(
                "scalar learning is for electric field gradients of atoms; "
                f"'{target.name}' is not symmetric and traceless, or not per atom; fit a tensor model to it"
            )

    def _fit(self, found: LabelledStructures) -> FittedScalars:
        ((symbol, basis),) = found.bases(self.descriptor, (INVARIANT,)).items()
        scale = Scale.of_data(found.labels)
        if not scale.std > 0:
            raise InputError(
                f"all |V_zz| of {symbol} are the same ({scale.mean:.3g} V/Å²), so C̃_Q has no scale; "
                "train on more structures"
            )
        self.check_labels({symbol: found.counts})
        logger.info("%s: fitting %d scalars to %d tensors", symbol, len(METRICS + Z_AXIS), basis.size)
        frames = np.stack([crystal_axes(found.structures[number]) for number in found.structure_of_row])
        quantities = scalar_targets(found.labels, frames, scale)
        means, deviations = quantities.mean(axis=0), quantities.std(axis=0)
        deviations = np.where(deviations > 0, deviations, 1.0)
        y = (quantities - means) / deviations
        invariants, ratio = jax.device_put(basis.invariants), self.regularisation
        kernel, groups = _kernel(invariants, invariants, np.asarray(self.zeta)), group_rows(found.structure_of_row)
        modes = eigenmodes(kernel) if ratio == "auto" else None
        weights, chosen = np.empty_like(y), np.empty(y.shape[1])
        for number in range(y.shape[1]):
            column = jax.device_put(y[:, number])
            chosen[number] = ratio if modes is None else choose_regularisation(modes, column, groups)[0]
            weights[:, number] = _weights(kernel, column, chosen[number])
        if not np.isfinite(weights).all():
            raise InputError(
                f"the scalar kernel matrix of {symbol} ({len(y)} atoms) is not positive definite with regularisation "
                f"{chosen.min():.1e}; raise it to 1e-6 or more, or use 'auto'"
            )
        return FittedScalars(basis, weights, means, deviations, chosen, scale)

    def tuning_problem(self, structures: Atoms | Iterable[Atoms], seed: int = 0, **options: Any) -> KernelTuning:
        """Cross-validated losses of the quantities; see `Model.tuning_problem`, with options of `CrossValidation`."""
        structures = check_frames(structures, self.target, array=self.array)
        options = CrossValidation.of(seed, options)
        target = target_of(self.target, structures, "atom")
        self.check_target(target)
        return KernelTuning(self, structures, target, HeldOutScalars, options)

    def unpack(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "FittedScalarGPR":
        """Inverse of `FittedScalarGPR.pack`, without features."""
        scales, by_species = unpack_scales(header["scales"]), {}
        for symbol, basis in unpack_bases(arrays, header["species"]).items():
            numbers = arrays[f"normalisation/{symbol}"]
            by_species[symbol] = FittedScalars(basis, arrays[f"weights/{symbol}"], *numbers, scales[symbol])
        return FittedScalarGPR(self, Target.from_dict(header["target"]), by_species)


class FittedScalarGPR(FittedKernelModel):
    """A fitted `ScalarGPR`.

    Its predictions are dicts of arrays (atoms,): c_q_tilde, eta_tilde, theta and phi (rad), v_nn (V/Å²); and z_axis
    (atoms, 3), a unit vector along the principal z axis in the structure's frame.
    """

    gives_tensors: ClassVar[bool] = False

    model: ScalarGPR
    target: Target = eqx.field(static=True)
    by_species: dict[str, FittedScalars]

    @property
    def bases(self) -> dict[str, Basis]:
        """Training environments by species."""
        return {symbol: fit.basis for symbol, fit in self.by_species.items()}

    def scales(self, target: str) -> dict[str, Scale]:
        """μ and σ of |V_zz| by element, V/Å²."""
        return {symbol: fit.scale for symbol, fit in self.by_species.items()}

    def _stream(
        self, structures: Atoms | Iterable[Atoms], targets: Sequence[Target], options: PredictionOptions
    ) -> Iterator[dict[str, Predicted]]:
        if options.variance:
            raise InputError("a scalar model has no variance; leave it out, or fit a tensor model")
        if options.dtype != np.float64:
            raise InputError(f"a scalar model computes in float64, got dtype='{options.dtype}'; leave it out")
        descriptor, choose = self.model.descriptor, Choice(self.species, options.species, options.indices)
        streamed = stream(
            checked(structures),
            choose,
            _ScalarEvaluator(self),
            float(descriptor.cutoff),
            descriptor.species,
            chunk_size(options.chunk),
        )
        return ({self.target.name: _scalars_of(self.by_species, found)} for found in streamed)

    def tensors(
        self, environments: Environments | Neighbours, target: str | None = None
    ) -> Float[Array, "rows quantities"]:
        """The quantities `METRICS` of each atom as a pure function of environments; see `FittedModel.tensors`."""
        self.one_target(target)
        descriptor, number = self.model.descriptor, len(METRICS)
        features = featurise(descriptor, environments, (INVARIANT,))[INVARIANT][:, 0]
        kinds = jnp.asarray(environments.centre_species)[:, None]
        result = jnp.zeros((len(features), number), features.dtype)
        for symbol, fit in self.by_species.items():
            scaled = _scaled(features, fit.basis.invariants, fit.weights[:, :number], self.model.zeta)
            own = jnp.asarray(fit.means[:number])[None] + jnp.asarray(fit.scales[:number])[None] * scaled
            result = jnp.where(kinds == descriptor.species.index(symbol), own, result)
        return environments.by_atom(result)

    def _report(
        self,
        frames: Sequence[Atoms],
        predicted: Sequence[Any],
        target: Target,
        isotopes: Mapping[str, Isotope | str] | None,
        title: str,
    ) -> Report:
        return scalar_report(frames, predicted, target, self.scales(target.name), isotopes, title)

    def pack(self) -> Packed:
        """Header and arrays, without features, which follow from the rest."""
        arrays = pack_bases(self.bases)
        for symbol, fit in self.by_species.items():
            arrays[f"weights/{symbol}"] = fit.weights
            arrays[f"normalisation/{symbol}"] = np.stack([fit.means, fit.scales, fit.regularisations])
        header = {
            "target": self.target.to_dict(),
            "species": list(self.by_species),
            "scales": pack_scales(self.scales(self.target.name)),
        }
        return header, arrays

    def restored(self, variance: bool = False) -> "FittedScalarGPR":
        """The model from a file, with the features of its training environments; it has no variance."""
        with x64():
            by_species = {
                symbol: replace(fit, basis=fit.basis.with_features(self.model.descriptor, (INVARIANT,)))
                for symbol, fit in self.by_species.items()
            }
        return replace(self, by_species=by_species)


_kernel = jax.jit(soap_kernel)


@jax.jit
def _weights(kernel, targets, regularisation):
    return solve(factorise(kernel, regularisation * jnp.mean(jnp.diag(kernel))), targets)


class _ScalarEvaluator:
    """Scaled predictions of a piece of centres, on the device; the references of a species go there once."""

    def __init__(self, fitted: FittedScalarGPR):
        self._model, self._by_species = fitted.model, fitted.by_species
        self._references: dict[str, tuple[Array, Array]] = {}

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        if symbol not in self._references:
            fit, size = self._by_species[symbol], shared_size(self._by_species[symbol].basis.size)
            references = repeated(fit.basis.invariants, size), filled(fit.weights, size)
            self._references[symbol] = jax.device_put(references)
        references, zeta = self._references[symbol], np.asarray(self._model.zeta)
        return {"values": _predict_scalars(self._model.descriptor, neighbours, *references, zeta)}


@eqx.filter_jit
def _predict_scalars(
    descriptor: LambdaSOAP,
    neighbours: Neighbours,
    invariants: Float[Array, "train invariants"],
    weights: Float[Array, "train quantities"],
    zeta: Float[Array | np.ndarray, ""],
) -> Float[Array, "centres quantities"]:
    """Scaled predictions of all quantities."""
    return _scaled(descriptor(neighbours, (INVARIANT,))[INVARIANT][:, 0], invariants, weights, zeta)


def _scaled(features, invariants, weights, zeta) -> Float[Array, "centres quantities"]:
    """Σ_j (k⁰_xj)^ζ w_j."""
    kernel = soap_kernel(features, jnp.asarray(invariants), zeta)
    return jnp.matmul(kernel, jnp.asarray(weights), precision=lax.Precision.HIGHEST)


def _scalars_of(fitted: dict[str, FittedScalars], found: Streamed) -> Predicted:
    scaled = found.values.get("values", np.full((len(found.atoms), len(METRICS + Z_AXIS)), np.nan))
    for symbol, index in found.centres.items():
        scaled[index] = fitted[symbol].means + fitted[symbol].scales * scaled[index]
    return Predicted(found.atoms, _as_dict(scaled, found.atoms), None, found.described)


def _as_dict(values: np.ndarray, atoms: Atoms) -> dict[str, np.ndarray]:
    """Columns by name; the dyad becomes its leading axis, turned from the crystal frame into the structure's."""
    prediction = {name: values[:, number].copy() for number, name in enumerate(METRICS)}
    dyads = from_irreps(KNOWN["efg"], {(2, 1): values[:, len(METRICS) :]})  # symmetric and traceless, as an EFG is
    axis = np.full((len(values), 3), np.nan)
    known = np.isfinite(dyads).all(axis=(1, 2))
    axis[known] = np.linalg.eigh(dyads[known])[1][:, :, -1] @ crystal_axes(atoms)
    return prediction | {"z_axis": axis}
