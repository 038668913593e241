"""Tensor learning: λ-SOAP Gaussian-process regression of whole tensors, per atom or per structure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.gp import packing
from efg_jax.gp.basis import Basis, featurise
from efg_jax.gp.cross_validation import HeldOutTensors
from efg_jax.gp.dense import fit_dense
from efg_jax.gp.environment_selection import SELECTIONS
from efg_jax.gp.fitted_regressions import FittedRegressions, Regressions
from efg_jax.gp.inducing import SparseOptions
from efg_jax.gp.kernel_model import FittedKernelModel, KernelModel
from efg_jax.gp.kernel_tuning import CrossValidation, KernelTuning
from efg_jax.gp.labelled_structures import SpeciesGroup, labelled_structures, species_groups
from efg_jax.gp.sparse import fit_sparse
from efg_jax.gp.streamed_prediction import predict_stream
from efg_jax.gp.training_distance import training_distance
from efg_jax.metrics import Scale
from efg_jax.models.predicted import Predicted, PredictionOptions
from efg_jax.models.protocol import Packed, Progress
from efg_jax.parallel import count, rank
from efg_jax.precision import x64
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.structures.checks import check_frames
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.structures.targets import Target, cartesian, target_of
from efg_jax.version import __version__


class TensorGPR(KernelModel):
    """λ-SOAP Gaussian-process regression of tensors (Grisafi et al. 2018; Harper et al. 2025, section 2.5).

    Every irreducible part of the target has a regression of its own with the kernel of its λ; a prediction has the
    target's symmetry by construction.

    Args:
        descriptor, species, target, zeta, regularisation, array: see `KernelModel`.
        per: learn one target an atom, or one a structure; None: as the structures carry it.
        extensive: whether a structure's target is the sum of contributions of its atoms (energy, dipole) or their mean
            (permittivity); None: as its name says, if that is known.
        inducing: make the model sparse, of this many environments of each species; memory then no longer grows with
            the training set, and "auto" finds ρ by five held-out folds of structures. None: dense.
        selection: how the inducing environments are chosen: by farthest-point sampling ("fps"), or by a greedy
            decomposition of the kernel ("cur").
        primal: ridge regression on the features themselves, with ζ = 1: the predictions of the dense model at a cost
            that is linear in the number of training environments.
    """

    kind: ClassVar[str] = "tensor"

    per: Literal["atom", "structure"] | None = eqx.field(static=True, default=None)
    extensive: bool | None = eqx.field(static=True, default=None)
    inducing: int | None = eqx.field(static=True, default=None)
    selection: str = eqx.field(static=True, default="fps")
    primal: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        inducing = self.inducing
        if inducing is not None and (isinstance(inducing, bool) or not isinstance(inducing, int) or inducing < 1):
            raise InputError(
                f"inducing must be a positive integer, or None for a dense model, got {inducing}; 1000 is usual"
            )
        if self.selection not in SELECTIONS:
            raise InputError(f"selection must be {' or '.join(map(repr, SELECTIONS))}, got {self.selection!r}")
        if self.primal and inducing is not None:
            raise InputError("a primal model has no inducing environments; leave out either primal or inducing")
        if self.primal and isinstance(self.zeta, np.ndarray) and self.zeta != 1.0:
            raise InputError(f"a primal model is linear in the features, got zeta = {self.zeta}; give zeta = 1")

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> "FittedTensorGPR":
        """Train on structures that carry the target; see `Model.fit`.

        The checkpoint of a sparse model keeps its sums after every chunk; it is emptied when the fit is done.

        Raises:
            InputError: bad structures or labels, a species without labels, or a kernel that is not positive definite.
        """
        # From here on the labels are under the target's own name.
        structures = check_frames(structures, self.target, array=self.array, per=self.per)
        target = target_of(self.target, structures, self.per, extensive=self.extensive)
        groups, model = species_groups(self.species, target, structures), self.settled_for(structures)
        zeta, ratio = float(model.zeta), None if self.regularisation == "auto" else float(self.regularisation)
        checkpoints = {group: model._checkpoint(checkpoint, group, structures, target) for group in groups}
        if not resume:
            for kept in checkpoints.values():
                kept.clear()
        bases, regressions, scales = {}, {}, {}
        with x64():
            for group in groups:
                found = labelled_structures(structures, target, group)
                self.check_labels({found.name: found.counts})
                if self.is_sparse:
                    options, kept = SparseOptions(self.inducing, self.selection, zeta), checkpoints[group]
                    own, regressions[group] = fit_sparse(found, model.descriptor, options, ratio, kept, progress)
                else:
                    own, regressions[group] = fit_dense(found, model.descriptor, zeta, ratio)
                bases |= own
                if target.is_efg:
                    scales[group[0]] = Scale.of_data(found.labels)
        for kept in checkpoints.values():
            kept.clear()
        return FittedTensorGPR(model, target, bases, regressions, scales)

    def tuning_problem(self, structures: Atoms | Iterable[Atoms], seed: int = 0, **options: Any) -> KernelTuning:
        """Cross-validated losses of a dense model; see `Model.tuning_problem`, with options of `CrossValidation`."""
        structures = check_frames(structures, self.target, array=self.array, per=self.per)
        target = target_of(self.target, structures, self.per, extensive=self.extensive)
        fixed = {"zeta": "a primal model is linear in the features"} if self.primal else {}
        return KernelTuning(self, structures, target, HeldOutTensors, CrossValidation.of(seed, options), fixed)

    @property
    def is_sparse(self) -> bool:
        """Whether the model is made of fewer columns than it has training targets."""
        return self.primal or self.inducing is not None

    is_resumable = is_distributable = is_sparse

    def _checkpoint(
        self, folder: str | Path | None, group: SpeciesGroup, structures: Sequence[Atoms], target: Target
    ) -> Checkpoint:
        """State of the fit of one group, by all that its sums depend on."""
        if folder is None or not self.is_sparse:
            return Checkpoint(None, {})
        options = self.to_dict()
        identity = {
            "version": __version__,
            "data": fingerprint(structures, (target.name,)),
            "target": target.to_dict(),
            **{name: options[name] for name in ("descriptor", "zeta", "inducing", "selection", "primal")},
            "species": list(group),
            "folds": self.regularisation == "auto",
            "process": [rank(), count()],
        }
        return Checkpoint(folder, identity)

    def unpack(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "FittedTensorGPR":
        """Inverse of `FittedTensorGPR.pack`, without features and factors: `FittedTensorGPR.restored` computes them."""
        return FittedTensorGPR(
            self,
            Target.from_dict(header["target"]),
            packing.unpack_bases(arrays, header["species"], self.primal),
            packing.unpack_regressions(header["regressions"], arrays),
            packing.unpack_scales(header["scales"]),
        )


class FittedTensorGPR(FittedKernelModel):
    """A fitted `TensorGPR`.

    Attributes:
        model: the options, with the species of the descriptor.
        target: what it predicts.
        bases: training (or inducing) environments by species.
        regressions: by group of species and irrep.
        efg_scales: μ and σ of |V_zz| in the training set by element, V/Å²; of an EFG only.
    """

    model: TensorGPR
    target: Target = eqx.field(static=True)
    bases: dict[str, Basis]
    regressions: Regressions
    efg_scales: dict[str, Scale] = eqx.field(static=True)

    @property
    def learned(self) -> FittedRegressions:
        """What a prediction needs."""
        return FittedRegressions(self.model.descriptor, self.model.zeta, self.target, self.bases, self.regressions)

    def scales(self, target: str) -> dict[str, Scale]:
        """μ and σ of |V_zz| by element, V/Å²."""
        return self.efg_scales

    def _stream(
        self, structures: Atoms | Iterable[Atoms], targets: Sequence[Target], options: PredictionOptions
    ) -> Iterator[dict[str, Predicted]]:
        return ({self.target.name: found} for found in predict_stream(self.learned, structures, options))

    def training_distance(self, structures: Atoms | Iterable[Atoms]):
        """Distance of each environment from the training set; see `gp.training_distance.training_distance`."""
        return training_distance(self.model.descriptor, self.bases, structures)

    def tensors(
        self, environments: Environments | Neighbours, target: str | None = None
    ) -> Float[Array, "rows *shape"]:
        """Predicted target as a pure function of environments; see `FittedModel.tensors`."""
        self.one_target(target)
        learned, descriptor = self.learned, self.model.descriptor
        predictors = {symbol: learned.predictor(symbol, learned.zeta) for symbol in self.bases}
        irreps = tuple(dict.fromkeys(irrep for predictor in predictors.values() for irrep in predictor.irreps))
        features = featurise(descriptor, environments, irreps)
        result = None
        for symbol, predictor in predictors.items():
            parts = predictor.of_features(features)
            own = cartesian(self.target.kind, {i: r.scale * parts[i] + r.mean for i, r in learned.of(symbol).items()})
            if result is None:
                result = own
            else:
                there = jnp.asarray(environments.centre_species) == descriptor.species.index(symbol)
                result = jnp.where(there.reshape(-1, *[1] * (own.ndim - 1)), own, result)
        return environments.by_atom(result)

    def pack(self) -> Packed:
        """Header and arrays, without features and Cholesky factors, which follow from the rest."""
        regressions, arrays = packing.pack_regressions(self.regressions)
        header = {
            "target": self.target.to_dict(),
            "scales": packing.pack_scales(self.efg_scales),
            "species": list(self.bases),
            "regressions": regressions,
        }
        return header, packing.pack_bases(self.bases) | arrays

    def restored(self, variance: bool = False) -> "FittedTensorGPR":
        """The model from a file with the features and, for the variance, the factors computed."""
        zeta, regressions = float(self.model.zeta), {}
        with x64():
            bases = {
                symbol: basis.with_features(self.model.descriptor, self.target.irreps)
                for symbol, basis in self.bases.items()
            }
            for group, by_irrep in self.regressions.items():
                own = {symbol: bases[symbol] for symbol in group}
                regressions[group] = {
                    irrep: (r.with_variance(own, zeta, self.target.extensive) if variance else r).with_contraction(own)
                    for irrep, r in by_irrep.items()
                }
        return replace(self, bases=bases, regressions=regressions)
