"""Tensor learning: λ-SOAP Gaussian-process regression of whole tensors, per atom or per structure."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.descriptors import Irrep
from efg_jax.gp import packing
from efg_jax.gp.basis import Basis, environments_of, featurise
from efg_jax.gp.inducing import Columns
from efg_jax.gp.irrep_regression import Regression, fit_regression, refactorised
from efg_jax.gp.kernel_model import KernelModel
from efg_jax.gp.labelled import Labelled, check_sparse, groups_of, labelled, training_data
from efg_jax.gp.prediction import predict_stream, predictor_of, regressions_of
from efg_jax.gp.sparse import fit_sparse
from efg_jax.gp.training_distance import training_distance
from efg_jax.metrics import Scale
from efg_jax.models.predicted import Choice, Predicted
from efg_jax.models.protocol import FittedModel, Packed, Progress
from efg_jax.parallel import count, rank
from efg_jax.precision import x64
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.structures.checks import check_frames
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.structures.targets import Target, cartesian, target_of, to_irreps
from efg_jax.version import __version__

logger = logging.getLogger(__name__)

Group = tuple[str, ...]
"""Centre species whose contributions are summed: one for a target per atom, all of them for one per structure."""


class TensorGPR(KernelModel):
    """λ-SOAP Gaussian-process regression of tensors (Grisafi et al. 2018; Harper et al. 2025, section 2.5).

    Every irreducible part of the target has a regression of its own with the kernel of its λ; a prediction has the target's
    symmetry by construction.

    Args:
        descriptor, species, target, zeta, regularisation, array: see `KernelModel`.
        per: learn one target an atom, or one a structure (a sum of atomic contributions); None: as the structures carry it.
        inducing: make the model sparse, of this many environments of each species; memory then no longer grows with
            the training set, and "auto" finds ρ by five held-out folds of structures. None: dense.
        selection: how the inducing environments are chosen: by farthest-point sampling ("fps"), or by a greedy
            decomposition of the kernel ("cur").
        primal: ridge regression on the features themselves, with ζ = 1: the predictions of the dense model at a cost that
            is linear in the number of training environments.
    """

    kind: ClassVar[str] = "tensor"

    per: Literal["atom", "structure"] | None = eqx.field(static=True, default=None)
    inducing: int | None = eqx.field(static=True, default=None)
    selection: str = eqx.field(static=True, default="fps")
    primal: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_sparse(self.inducing, self.selection, self.primal, self.zeta)

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> "FittedTensorGPR":
        """Train on structures that carry the target; atoms without a label (NaN) are left out.

        Args:
            structures: the training set.
            checkpoint: folder where a sparse model keeps its sums after every chunk of structures. An interrupted fit that
                is called again with the same data and options continues there. It is emptied when the fit is done.
            resume: False: discard first what the folder holds of this fit.
            progress: called after each chunk of a sparse model.

        Raises:
            InputError: bad structures or labels, no label at all for a species, or a kernel that is not positive definite.
        """
        # From here on the labels are under the target's own name.
        structures = check_frames(structures, self.target, array=self.array, per=self.per)
        target = target_of(self.target, structures, self.per)
        groups = groups_of(self.species, target, structures)
        model = self.settled_for(structures)
        kept = {group: model._checkpoint(checkpoint, group, structures, target) for group in groups}
        if not resume:
            for own in kept.values():
                own.clear()
        bases, regressions, scales = {}, {}, {}
        with x64():
            for group in groups:
                found = labelled(structures, target, group)
                if self.is_sparse:
                    columns = Columns(self.inducing, self.selection, float(self.zeta))
                    own, regressions[group] = fit_sparse(
                        found, target, model.descriptor, columns, self._ratio, kept[group], progress
                    )
                else:
                    own, regressions[group] = model._fit_dense(found, target)
                bases |= own
                if target.is_efg:
                    scales[group[0]] = Scale.of_data(np.concatenate(found.values))
        for own in kept.values():
            own.clear()
        return FittedTensorGPR(model, target, bases, regressions, scales)

    @property
    def is_sparse(self) -> bool:
        """Whether the model is made of fewer columns than it has training targets."""
        return self.primal or self.inducing is not None

    is_resumable = is_distributable = is_sparse

    @property
    def _ratio(self) -> float | None:
        return None if self.regularisation == "auto" else float(self.regularisation)

    def _fit_dense(self, found: Labelled, target: Target):
        data = training_data(found, self.descriptor, target.irreps)
        name = f"{'+'.join(found.centres)} {target.name}"
        channels = to_irreps(target, data.values)
        regressions = {}
        for irrep, components in channels.items():
            logger.info("%s: fitting λ = %d to %d targets", name, irrep[0], len(components))
            regressions[irrep] = fit_regression(
                data.bases,
                irrep,
                components,
                found.contributions,
                data.groups,
                float(self.zeta),
                self._ratio,
                name,
                len(channels) == 1,
            )
        return data.bases, regressions

    def _checkpoint(
        self, folder: str | Path | None, group: Group, structures: Sequence[Atoms], target: Target
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


class FittedTensorGPR(FittedModel):
    """A fitted `TensorGPR`: bases by species, regressions by group of species and irrep."""

    model: TensorGPR
    target: Target = eqx.field(static=True)
    bases: dict[str, Basis]
    regressions: dict[Group, dict[Irrep, Regression]]
    efg_scales: dict[str, Scale] = eqx.field(static=True)  # μ and σ of |V_zz| in the training set (EFG only)

    @property
    def targets(self) -> dict[str, Target]:
        """The only target, by its name."""
        return {self.target.name: self.target}

    def species_of(self, target: str | None = None) -> list[str]:
        """Elements that it was trained for."""
        self.one_target(target)
        return list(self.bases)

    def scales(self, target: str) -> dict[str, Scale]:
        """μ and σ of |V_zz| by element, V/Å²."""
        return self.efg_scales

    def _stream(
        self, structures: Atoms | Iterable[Atoms], targets: Sequence[Target], **options: Any
    ) -> Iterator[dict[str, Predicted]]:
        return ({self.target.name: found} for found in predict_stream(self, structures, **options))

    def training_distance(self, structures: Atoms | Iterable[Atoms]):
        """Distance of each environment from the training set; see `gp.training_distance.training_distance`."""
        return training_distance(self, structures)

    def environments_of(
        self, structures: Atoms | Sequence[Atoms], species: str | Sequence[str] | None = None
    ) -> Environments:
        """Environments of all atoms that the model predicts, one row each; see `FittedModel.environments_of`."""
        return environments_of(structures, self.model.descriptor, Choice(self.species, species, None))

    def tensors(
        self, environments: Environments | Neighbours, target: str | None = None
    ) -> Float[Array, "rows *shape"]:
        """Predicted target as a pure function of environments; see `FittedModel.tensors`."""
        self.one_target(target)
        descriptor = self.model.descriptor
        predictors = {symbol: predictor_of(self, symbol, self.model.zeta) for symbol in self.bases}
        irreps = tuple(dict.fromkeys(irrep for predictor in predictors.values() for irrep in predictor.irreps))
        features = featurise(descriptor, environments, irreps)
        result = None
        for symbol, predictor in predictors.items():
            parts = predictor.of_features(features)
            regressions = regressions_of(self, symbol)
            own = cartesian(self.target.kind, {i: r.scale * parts[i] + r.mean for i, r in regressions.items()})
            if result is None:
                result = own
            else:
                there = jnp.asarray(environments.centre_species) == descriptor.species.index(symbol)
                result = jnp.where(there.reshape(-1, *[1] * (own.ndim - 1)), own, result)
        return environments.by_atom(result)

    def pack(self) -> Packed:
        """Header and arrays; features and Cholesky factors are left out, as they follow from the rest."""
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
                regressions[group] = {irrep: r.with_contraction(own) for irrep, r in by_irrep.items()}
                if variance:
                    regressions[group] = {irrep: refactorised(r, own, zeta) for irrep, r in regressions[group].items()}
        return replace(self, bases=bases, regressions=regressions)
