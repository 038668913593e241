"""Tensor learning: λ-SOAP Gaussian-process regression of whole tensors, per atom or per structure."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.descriptors.lambda_soap import leaf, settled
from efg_jax.errors import InputError
from efg_jax.io import check_frames
from efg_jax.metrics import Scale
from efg_jax.models import evaluation, packing
from efg_jax.models.basis import Basis, gather, select
from efg_jax.models.gpr import Regression, fit_regression, refactorise
from efg_jax.models.prediction import predict_channels, predict_variance
from efg_jax.models.predictor import Predictor, predict_chunk
from efg_jax.models.training import as_group, as_regularisation, check_options, groups_of, training_data
from efg_jax.precision import float64
from efg_jax.report import Report, TargetReport
from efg_jax.structures import Environments
from efg_jax.targets import Target, from_channels, target_of, to_channels
from efg_jax.tensors.irreps import spherical_to_vector, to_cartesian
from efg_jax.tensors.nuclei import Isotope

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
    """

    descriptor: LambdaSOAP = LambdaSOAP()
    species: Group | None = eqx.field(static=True, default=None, converter=as_group)
    target: str = eqx.field(static=True, default="efg")
    zeta: Float[Array | np.ndarray, ""] = eqx.field(default=2.0, converter=leaf)
    regularisation: float | Literal["auto"] = eqx.field(static=True, default="auto", converter=as_regularisation)
    per: Literal["atom", "structure"] | None = eqx.field(static=True, default=None)
    array: str | None = eqx.field(static=True, default=None)
    fitted: FittedTensors | None = None

    def __check_init__(self):
        check_options(self.zeta, self.regularisation)

    def fit(self, structures: Atoms | Iterable[Atoms]) -> "TensorGPR":
        """Train on structures that carry the target; atoms without a label (NaN) are left out.

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
        regularisation = None if self.regularisation == "auto" else float(self.regularisation)
        bases, regressions, scales = {}, {}, {}
        with float64():
            for group in groups:
                data = training_data(structures, target, group, descriptor, target.irreps)
                bases |= data.bases
                channels = to_channels(target, data.values)
                regressions[group] = {}
                for irrep, components in channels.items():
                    name = f"{'+'.join(group)} {target.name}"
                    logger.info("%s: fitting λ = %d to %d targets", name, irrep[0], len(components))
                    regressions[group][irrep] = fit_regression(
                        data.bases,
                        irrep,
                        components,
                        data.groups,
                        float(self.zeta),
                        regularisation,
                        name,
                        len(channels) == 1,
                    )
                if target.is_efg:
                    scales[group[0]] = Scale(*map(float, Scale.from_tensors(jnp.asarray(data.values))))
        return replace(
            self,
            descriptor=descriptor,
            zeta=settled(self.zeta),
            fitted=FittedTensors(target, bases, regressions, scales),
        )

    def predict(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        variance: bool = False,
        precision: Literal["float64", "float32"] = "float64",
    ):
        """Predict the target of one structure or of several.

        Args:
            structures: atoms, or a list of them.
            variance: also return the posterior variance (of the noise-free target) in the square of the target's unit, summed
                over the components of a tensor, so that it does not depend on the frame.
            precision: of the arithmetic. float32 is off by about 1e-7 over the regularisation: 1 % of the tensors (rms) for the
                default ¹⁷O model of silica (ρ = 2e-5), a third of that model's own error.

        Returns:
            For one structure an array (atoms, 3, 3) (or (atoms, 3), (atoms,) for vectors and scalars), NaN for atoms of elements
            that the model does not predict; without the atom axis for a target per structure. For a list, a list of them. With
            ``variance`` a pair, the second (atoms,) or a float.

        Raises:
            InputError: the model is not fitted, an element that it was not trained on, or nothing to predict.
        """
        fitted = self._require_fitted()
        frames = check_frames(structures)
        with float64(precision == "float64"):
            channels = predict_channels(self.descriptor, self.zeta, fitted, frames, np.dtype(precision))
        values = [from_channels(fitted.target, channels)]
        if variance:
            with float64():
                values.append(predict_variance(self.descriptor, self.zeta, fitted, frames))
        if fitted.target.per == "atom":
            ends = np.cumsum([len(atoms) for atoms in frames])[:-1]
            parts = [np.split(value, ends) for value in values]
        else:
            parts = [list(value) for value in values]
        if isinstance(structures, Atoms):
            parts = [part[0] for part in parts]
        return tuple(parts) if variance else parts[0]

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
        scaled = {irrep[0]: regressions[irrep].scale * part + regressions[irrep].mean for irrep, part in parts.items()}
        if fitted.target.kind == "scalar":
            return scaled[0][:, 0]
        return spherical_to_vector(scaled[1]) if fitted.target.kind == "vector" else to_cartesian(scaled)

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
            return evaluation.efg_report(structures, predicted, fitted.target, fitted.scales, isotopes, title)
        return evaluation.target_report(structures, predicted, fitted.target, list(fitted.bases), title)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all."""
        self._require_fitted()
        packing.save(path, self)

    def restored(self, variance: bool = False) -> "TensorGPR":
        """The model from a file with everything computed that files leave out: features and, for the variance, factors."""
        fitted = self._require_fitted()
        with float64():
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
                        irrep: refactorise(r, own, float(self.zeta)) for irrep, r in regressions[group].items()
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
