"""What a fitted tensor model predicts with: training environments by species, and a regression for each irrep."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.gp.basis import Basis
from efg_jax.gp.irrep_regression import IrrepRegression
from efg_jax.gp.labelled_structures import SpeciesGroup
from efg_jax.gp.predictor import Predictor
from efg_jax.structures.targets import Target

Regressions = dict[SpeciesGroup, dict[Irrep, IrrepRegression]]


class FittedRegressions(NamedTuple):
    """Descriptor, kernel and fitted regressions of one target.

    Attributes:
        descriptor: with species.
        zeta: ζ of the kernel.
        target: what is predicted.
        bases: training environments by species.
        by_group: regressions by group of species and irrep.
    """

    descriptor: LambdaSOAP
    zeta: Float[Array | np.ndarray, ""]
    target: Target
    bases: dict[str, Basis]
    by_group: Regressions

    def of(self, symbol: str) -> dict[Irrep, IrrepRegression]:
        """The regressions to which a species contributes."""
        return next(by_irrep for group, by_irrep in self.by_group.items() if symbol in group)

    def predictor(self, symbol: str, zeta: Float[Array | np.ndarray, ""]) -> Predictor:
        """The predictor of one species, for this ζ (the same number, in the precision of the prediction)."""
        contracted = {irrep: regression.contracted[symbol] for irrep, regression in self.of(symbol).items()}
        return Predictor.of(self.bases[symbol], contracted, zeta)
