"""Predictions of one species as a pure function of its environments, with no kernel of order λ in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.gp.basis import Basis
from efg_jax.gp.kernels import invariant_factor
from efg_jax.structures.environments import Environments, Neighbours, bucket

if TYPE_CHECKING:
    from efg_jax.gp.irrep_regression import Regression

_SHARED = 1024  # references up to which the compilation weighs more than a few that add nothing


class Predictor(eqx.Module):
    """y_μ(x) = P_μ(x) · Σ_j (k⁰_xj)^(ζ−1) F_j with the fields F_j = Σ_μ' P_jμ' w_jμ' of the reference environments j.

    Features and weights of the references are contracted once, so that a site costs one row of the λ = 0 kernel, whatever λ; no
    (2λ+1)² blocks are ever made. With ζ = 1 the sum over j is done once as well, and a site costs its features alone.
    """

    fields: dict[Irrep, Float[Array | np.ndarray, "references _"]]
    invariants: Float[Array | np.ndarray, "references invariants"] | None  # None: ζ = 1, and a single field
    zeta: Float[Array | np.ndarray, ""]

    @classmethod
    def of(cls, basis: Basis, regressions: Mapping[Irrep, "Regression"], symbol: str, zeta) -> "Predictor":
        """Of fitted regressions of one group of species.

        Args:
            basis: reference environments of the species.
            regressions: by irrep.
            symbol: the species.
            zeta: ζ; only where it is a number on the host can the case ζ = 1 be seen.
        """
        fields = {irrep: regression.contracted[symbol] for irrep, regression in regressions.items()}
        if isinstance(zeta, np.ndarray) and zeta == 1.0:
            return cls({irrep: field.sum(axis=0, keepdims=True) for irrep, field in fields.items()}, None, zeta)
        size = shared_size(basis.size)
        return cls(
            {irrep: filled(field, size) for irrep, field in fields.items()}, repeated(basis.invariants, size), zeta
        )

    def __call__(
        self, descriptor: LambdaSOAP, environments: Environments | Neighbours
    ) -> dict[Irrep, Float[Array, "centres _"]]:
        """Scaled spherical components for each irrep; pure and differentiable in environments and descriptor."""
        irreps = tuple(self.fields) if self.invariants is None else tuple(dict.fromkeys((INVARIANT, *self.fields)))
        features = descriptor(environments, irreps)
        if self.invariants is None:
            return {irrep: _matmul(features[irrep], jnp.asarray(field)[0]) for irrep, field in self.fields.items()}
        factor = invariant_factor(features[INVARIANT][:, 0], jnp.asarray(self.invariants), jnp.asarray(self.zeta))
        return {
            irrep: _matmul(features[irrep], _matmul(factor, jnp.asarray(field))[:, :, None])[:, :, 0]
            for irrep, field in self.fields.items()
        }


@eqx.filter_jit
def predict_chunk(
    predictor: Predictor, descriptor: LambdaSOAP, environments: Environments | Neighbours
) -> dict[Irrep, Float[Array, "centres _"]]:
    """Compiled `Predictor.__call__`."""
    return predictor(descriptor, environments)


def shared_size(references: int) -> int:
    """Rounded up to a few sizes, so that models of similar training sets share a compilation; large ones are as they are, which costs no copy."""
    return references if references > _SHARED else min(bucket(references), -(-references // 64) * 64)


def filled(rows: Float[Array | np.ndarray, "references _"], size: int) -> Float[Array | np.ndarray, "size _"]:
    """Rows of zeros at the end: references whose fields are zero add nothing."""
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return rows if len(rows) == size else pad(rows, [(0, size - len(rows)), (0, 0)])


def repeated(rows: Float[Array | np.ndarray, "references _"], size: int) -> Float[Array | np.ndarray, "size _"]:
    """The last row again at the end: a kernel with it has derivatives of any order, as one with nothing has not."""
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return rows if len(rows) == size else pad(rows, [(0, size - len(rows)), (0, 0)], mode="edge")


def _matmul(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
