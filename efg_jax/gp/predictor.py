"""Predictions of one species as a pure function of its environments, without a kernel of order λ in memory."""

from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.gp.basis import Basis
from efg_jax.gp.kernels import soap_kernel
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.structures.padding import bucket

# Up to this many references, compilation costs more than padding.
_SHARED = 1024


class Predictor(eqx.Module):
    """y_μ(x) = P_μ(x) · Σ_j (k⁰_xj)^(ζ−1) F_j with the fields F_j = Σ_μ' P_jμ' w_jμ' of the reference environments j.

    Features and weights of the references are contracted once, so a site costs one row of the λ = 0 kernel, for any λ;
    no (2λ+1)² blocks are formed. With ζ = 1 the sum over j is done once as well, and a site costs only its features.
    """

    fields: dict[Irrep, Float[Array | np.ndarray, "references _"]]
    invariants: Float[Array | np.ndarray, "references invariants"] | None  # None: ζ = 1, and a single field
    zeta: Float[Array | np.ndarray, ""]

    @classmethod
    def of(
        cls,
        basis: Basis,
        contracted: Mapping[Irrep, Float[Array | np.ndarray, "references _"]],
        zeta: Float[Array | np.ndarray, ""],
    ) -> "Predictor":
        """Of the fitted regressions of one species.

        Args:
            basis: reference environments.
            contracted: fields F_j by irrep; a single row for a primal model.
            zeta: ζ. The case ζ = 1 is recognised only if it is a number on the host, or the basis has no features.
        """
        if basis.features is None or (isinstance(zeta, np.ndarray) and zeta == 1.0):
            return cls({irrep: field.sum(axis=0, keepdims=True) for irrep, field in contracted.items()}, None, zeta)
        size = shared_size(basis.size)
        fields = {irrep: filled(field, size) for irrep, field in contracted.items()}
        return cls(fields, repeated(basis.invariants, size), zeta)

    @property
    def irreps(self) -> tuple[Irrep, ...]:
        """Features that it needs."""
        return tuple(self.fields) if self.invariants is None else tuple(dict.fromkeys((INVARIANT, *self.fields)))

    def __call__(
        self, descriptor: LambdaSOAP, environments: Environments | Neighbours
    ) -> dict[Irrep, Float[Array, "centres _"]]:
        """Scaled spherical components for each irrep; pure and differentiable in environments and descriptor."""
        return self.of_features(descriptor(environments, self.irreps))

    def of_features(
        self, features: Mapping[Irrep, Float[Array, "centres _ _"]]
    ) -> dict[Irrep, Float[Array, "centres _"]]:
        """The same from features."""
        if self.invariants is None:
            return {irrep: _matmul(features[irrep], jnp.asarray(field)[0]) for irrep, field in self.fields.items()}
        kernel = soap_kernel(features[INVARIANT][:, 0], jnp.asarray(self.invariants), jnp.asarray(self.zeta) - 1.0)
        return {
            irrep: _matmul(features[irrep], _matmul(kernel, jnp.asarray(field))[:, :, None])[:, :, 0]
            for irrep, field in self.fields.items()
        }


def shared_size(references: int) -> int:
    """Number of references rounded up to one of few sizes, so that similar training sets share a compilation.

    Large numbers stay as they are, which saves a copy.
    """
    return references if references > _SHARED else min(bucket(references), -(-references // 64) * 64)


def filled(rows: Float[Array | np.ndarray, "references _"], size: int) -> Float[Array | np.ndarray, "size _"]:
    """Append rows of zeros: references whose fields are zero add nothing."""
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return rows if len(rows) == size else pad(rows, [(0, size - len(rows)), (0, 0)])


def repeated(rows: Float[Array | np.ndarray, "references _"], size: int) -> Float[Array | np.ndarray, "size _"]:
    """Append copies of the last row: unlike a kernel with zeros, a kernel with it has derivatives of any order."""
    pad = np.pad if isinstance(rows, np.ndarray) else jnp.pad
    return rows if len(rows) == size else pad(rows, [(0, size - len(rows)), (0, 0)], mode="edge")


def _matmul(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
