"""Tensor learning: λ-SOAP Gaussian-process regression of whole tensors, per atom or per structure."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import equinox as eqx
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.descriptors.lambda_soap import leaf, settled
from efg_jax.errors import InputError
from efg_jax.gp import packing
from efg_jax.gp.basis import Basis, gather
from efg_jax.gp.inducing import Columns
from efg_jax.gp.irrep_regression import Regression, fit_regression, refactorised
from efg_jax.gp.labelled import (
    Labelled,
    as_group,
    as_regularisation,
    check_options,
    check_sparse,
    groups_of,
    labelled,
    training_data,
)
from efg_jax.gp.prediction import Precision, Predicted, cartesian, collected, predict_stream
from efg_jax.gp.predictor import Predictor, predict_chunk
from efg_jax.gp.sparse import Progress as FitProgress
from efg_jax.gp.sparse import fit_sparse
from efg_jax.gp.training_distance import training_distance
from efg_jax.metrics import Scale
from efg_jax.parallel import count, rank
from efg_jax.precision import x64
from efg_jax.report import Report, TargetReport, judging
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.journal import fingerprint
from efg_jax.structures.checks import check_frames
from efg_jax.structures.environments import Environments
from efg_jax.structures.selection import select
from efg_jax.structures.targets import Target, target_of, to_channels
from efg_jax.tensors.nuclei import Isotope
from efg_jax.version import __version__

logger = logging.getLogger(__name__)

Group = tuple[str, ...]
"""Centre species whose contributions are summed: one for a target per atom, all of them for one per structure."""


class FittedTensors(eqx.Module):
    """What training leaves behind: bases by species, regressions by (group of species, irrep)."""

    target: Target = eqx.field(static=True)
    bases: dict[str, Basis]
    regressions: dict[Group, dict[Irrep, Regression]]
    scales: dict[str, Scale] = eqx.field(static=True)  # μ and σ of |V_zz| in the training set (EFG only)


class TensorGPR(eqx.Module):
    """λ-SOAP Gaussian-process regression of tensors (Grisafi et al. 2018; Harper et al. 2025, section 2.5).

    Every irreducible part of the target has a regression of its own with the kernel of its λ; a prediction has the target's
    symmetry by construction. `fit` returns a new, fitted model; nothing is changed in place.

    Args:
        descriptor: hyperparameters of the environments.
        species: element or elements whose atoms carry the target; None: all that have labels (all elements, per structure).
        target: name of what is learned: "efg", "ms", "dipole", or any array of the structures.
        zeta: ζ of the kernel.
        regularisation: noise variance over the kernel's mean diagonal, or "auto": from leave-one-structure-out residuals.
        per: "atom", "structure" (a sum of atomic contributions), or None: as the structures carry it.
        array: name under which the structures carry the target, where it differs.
        inducing: make the model sparse: it is made of this many environments of each species, whatever the number of training
            environments, and memory no longer grows with that. "auto" then finds ρ by five held-out folds of structures.
        selection: how they are chosen: "fps" (farthest-point sampling), or "cur" (greedy decomposition of the kernel).
        primal: ridge regression on the features themselves instead of on kernels (ζ = 1): the same predictions as the dense model with ζ = 1, at a
            cost that is linear in the number of training environments.
    """

    descriptor: LambdaSOAP = LambdaSOAP()
    species: Group | None = eqx.field(static=True, default=None, converter=as_group)
    target: str = eqx.field(static=True, default="efg")
    zeta: Float[Array | np.ndarray, ""] = eqx.field(default=2.0, converter=leaf)
    regularisation: float | Literal["auto"] = eqx.field(static=True, default="auto", converter=as_regularisation)
    per: Literal["atom", "structure"] | None = eqx.field(static=True, default=None)
    array: str | None = eqx.field(static=True, default=None)
    inducing: int | None = eqx.field(static=True, default=None)
    selection: str = eqx.field(static=True, default="fps")
    primal: bool = eqx.field(static=True, default=False)
    fitted: FittedTensors | None = None

    def __check_init__(self):
        check_options(self.zeta, self.regularisation)
        check_sparse(self.inducing, self.selection, self.primal, self.zeta)

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: FitProgress | None = None,
    ) -> "TensorGPR":
        """Train on structures that carry the target; atoms without a label (NaN) are left out.

        Args:
            structures: the training set.
            checkpoint: folder where a sparse model keeps its sums after every chunk of structures: a fit that was stopped at any moment, and is
                called again with the same data and options, goes on from there. It is emptied when the fit is done.
            resume: False: forget first what the folder has of this fit.
            progress: called after each chunk of a sparse model with (done, all, what).

        Raises:
            InputError: bad structures or labels, no label at all for a species, or a kernel that is not positive definite.
        """
        structures = check_frames(
            structures, self.target, array=self.array, per=self.per
        )  # from here on under the target's own name
        target = target_of(self.target, structures, self.per)
        groups = groups_of(self.species, target, structures)
        descriptor = settled(self.descriptor)
        if descriptor.species is None:
            descriptor = descriptor.with_species(sorted({symbol for atoms in structures for symbol in atoms.symbols}))
        kept = {group: self._checkpoint(checkpoint, group, descriptor, structures, target) for group in groups}
        if not resume:
            for own in kept.values():
                own.clear()
        bases, regressions, scales = {}, {}, {}
        with x64():
            for group in groups:
                found = labelled(structures, target, group)
                if self.is_sparse:
                    own, regressions[group] = self._fit_sparse(found, target, descriptor, kept[group], progress)
                else:
                    own, regressions[group] = self._fit_dense(found, target, descriptor)
                bases |= own
                if target.is_efg:
                    scales[group[0]] = Scale.of_data(np.concatenate(found.values))
        for own in kept.values():
            own.clear()
        return replace(
            self,
            descriptor=descriptor,
            zeta=settled(self.zeta),
            fitted=FittedTensors(target, bases, regressions, scales),
        )

    @property
    def is_sparse(self) -> bool:
        """Whether the model is made of fewer columns than it has training targets."""
        return self.primal or self.inducing is not None

    @property
    def _ratio(self) -> float | None:
        return None if self.regularisation == "auto" else float(self.regularisation)

    def _fit_dense(self, found: Labelled, target: Target, descriptor: LambdaSOAP):
        data = training_data(found, descriptor, target.irreps)
        name = f"{'+'.join(found.centres)} {target.name}"
        channels = to_channels(target, data.values)
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

    def _fit_sparse(
        self,
        found: Labelled,
        target: Target,
        descriptor: LambdaSOAP,
        kept: Checkpoint,
        progress: FitProgress | None,
    ):
        columns = Columns(self.inducing, self.selection, float(self.zeta))
        return fit_sparse(found, target, descriptor, columns, self._ratio, kept, progress)

    def _checkpoint(
        self,
        folder: str | Path | None,
        group: Group,
        descriptor: LambdaSOAP,
        structures: Sequence[Atoms],
        target: Target,
    ) -> Checkpoint:
        """State of the fit of one group, by all that its sums depend on."""
        if folder is None or not self.is_sparse:
            return Checkpoint(None, {})
        identity = {
            "version": __version__,
            "data": fingerprint(structures, (target.name,)),
            "target": target.to_dict(),
            "descriptor": packing.pack_descriptor(descriptor),
            "zeta": float(self.zeta),
            "columns": [self.inducing, self.selection, self.primal],
            "species": list(group),
            "folds": self.regularisation == "auto",
            "process": [rank(), count()],
        }
        return Checkpoint(folder, identity)

    @property
    def known(self) -> list[str]:
        """Elements that the fitted model predicts."""
        return list(self._require_fitted().bases)

    def predict(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        variance: bool = False,
        precision: Precision = "float64",
        chunk: int | Literal["auto"] = "auto",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ):
        """Predict the target of one structure or of several.

        Args:
            structures: atoms, or any iterable of them.
            variance: also return the posterior variance (of the noise-free target) in the square of the target's unit, summed
                over the components of a tensor, so that it does not depend on the frame.
            precision: of the arithmetic. float32 is off by about 1e-7 over the regularisation: 1 % of the tensors (rms) for the
                default ¹⁷O model of silica (ρ = 2e-5), a third of that model's own error.
            chunk: number of centres that are worked on at a time; "auto": what suits the device. It bounds the memory, and changes no
                result beyond rounding.
            species: elements to predict, of those that the model knows; None: all.
            indices: atoms to predict in every structure; None: all of these elements.

        Returns:
            For one structure an array (atoms, 3, 3) (or (atoms, 3), (atoms,) for vectors and scalars), NaN for atoms that are not
            predicted; without the atom axis for a target per structure. For an iterable, a list of them. With ``variance`` a pair,
            the second (atoms,) or a float.

        Raises:
            InputError: the model is not fitted, an element that it was not trained on, or nothing to predict.
        """
        found = self.predict_stream(
            structures, variance=variance, precision=precision, chunk=chunk, species=species, indices=indices
        )
        return collected(found, structures, self.known, variance)

    def predict_stream(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        variance: bool = False,
        precision: Precision = "float64",
        chunk: int | Literal["auto"] = "auto",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Iterator[Predicted]:
        """Predict a trajectory of any length: one `Predicted` a structure, in their order.

        Structures are taken one by one, and only as many are held as are being worked on (about 100,000 atoms), so that memory is
        bounded whatever their number and size. They may be of any sizes, which share a few compilations.

        Args:
            structures, variance, precision, chunk, species, indices: as for `predict`.

        Yields:
            The structure with its values and, if wanted, their variance; all NaN where it has no atom to predict.

        Raises:
            InputError: as for `predict`, when the structure's turn comes; but not for a stream with nothing to predict.
        """
        return predict_stream(
            self.descriptor,
            self.zeta,
            self._require_fitted(),
            structures,
            variance=variance,
            precision=precision,
            chunk=chunk,
            species=species,
            indices=indices,
        )

    def training_distance(self, structures: Atoms | Iterable[Atoms]):
        """How far the environments of structures lie from those that the model was trained on: see `models.novelty.training_distance`."""
        return training_distance(self, structures)

    def tensors(self, environments: Environments, symbol: str) -> Float[Array, "centres *shape"]:
        """Predicted target (contributions of the centres, for a target per structure) as a pure function of environments.

        For derivatives: with respect to ``environments.positions`` and ``.cells`` it is differentiable and jit-able. Pass the model to
        `eqx.filter_jit` as an argument; a function that closes over it has the training features folded into its compilation.

        Args:
            environments: from `environments_of`.
            symbol: their centre species.

        Returns:
            Cartesian values in the target's unit and shape, one a centre.
        """
        fitted = self._require_fitted()
        group = self._group_of(symbol)
        regressions = fitted.regressions[group]
        predictor = Predictor.of(fitted.bases[symbol], regressions, symbol, self.zeta)
        parts = predict_chunk(predictor, self.descriptor, environments)
        return cartesian(
            fitted.target.kind, {irrep: r.scale * parts[irrep] + r.mean for irrep, r in regressions.items()}
        )

    def environments_of(self, structures: Atoms | Sequence[Atoms], symbol: str) -> Environments:
        """Environments of all atoms of an element, as `tensors` wants them."""
        structures = [structures] if isinstance(structures, Atoms) else structures
        return gather(structures, self.descriptor, select(structures, symbol))

    def evaluate(
        self, structures: Atoms | Iterable[Atoms], title: str = "", isotopes: Mapping[str, Isotope | str] | None = None
    ) -> Report | TargetReport:
        """Compare predictions with the labels of structures that were held out.

        θ, φ and ν_Q refer to a field along the z axis of each structure's crystal frame (`cell.standard_form`), C̃_Q and η̃ to μ and
        σ of the training set.

        Args:
            structures: with labels for at least one of the model's species.
            title: heading of the report.
            isotopes: nucleus by element, ``{"Ti": "49Ti"}``, where it is not the one that NMR uses; an `Isotope` may carry a quadrupole
                moment of one's own.

        Raises:
            InputError: no labels for the model's species.
        """
        fitted = self._require_fitted()
        structures = check_frames(structures, self.target, array=self.array, per=fitted.target.per)
        predicted = self.predict(structures)
        if fitted.scales:
            return judging.efg_report(structures, predicted, fitted.target, fitted.scales, isotopes, title)
        return judging.target_report(structures, predicted, fitted.target, list(fitted.bases), title)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all."""
        self._require_fitted()
        packing.save(path, self)

    def restored(self, variance: bool = False) -> "TensorGPR":
        """The model from a file with everything computed that files leave out: features and, for the variance, factors."""
        fitted = self._require_fitted()
        with x64():
            bases = {
                symbol: basis.with_features(self.descriptor, fitted.target.irreps)
                for symbol, basis in fitted.bases.items()
            }
            regressions = {}
            for group, by_irrep in fitted.regressions.items():
                own = {symbol: bases[symbol] for symbol in group}
                regressions[group] = {irrep: r.with_contraction(own) for irrep, r in by_irrep.items()}
                if variance:
                    regressions[group] = {
                        irrep: refactorised(r, own, float(self.zeta)) for irrep, r in regressions[group].items()
                    }
        return replace(self, fitted=replace(fitted, bases=bases, regressions=regressions))

    def _require_fitted(self) -> FittedTensors:
        if self.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        return self.fitted

    def _group_of(self, symbol: str) -> Group:
        for group in self._require_fitted().regressions:
            if symbol in group:
                return group
        known = ", ".join(self._require_fitted().bases)
        raise InputError(f"the model predicts nothing for {symbol}; it was trained for {known}")
