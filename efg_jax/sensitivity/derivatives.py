"""Exact derivatives of a predicted tensor with respect to positions and strain."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.errors import InputError
from efg_jax.gp import TensorGPR
from efg_jax.gp.prediction import cartesian_chunk, mean_value, regressions_of
from efg_jax.gp.predictor import Predictor
from efg_jax.precision import cast, x64
from efg_jax.structures.checks import check_frames, name_atom
from efg_jax.structures.environments import Neighbours, environments
from efg_jax.structures.targets import place_of


class TensorDerivatives(NamedTuple):
    """A tensor at one atom, and how it changes with each of its neighbours (periodic images apart).

    Attributes:
        tensor: V/Å² or ppm.
        neighbour: index of each neighbour's atom in the structure.
        displacement: from the atom to each neighbour, Å.
        gradient: ∂V_ij/∂d_kc, d_k the displacement of neighbour k, per Å.
    """

    tensor: Float[np.ndarray, "3 3"]
    neighbour: Int[np.ndarray, " neighbours"]
    displacement: Float[np.ndarray, "neighbours 3"]
    gradient: Float[np.ndarray, "3 3 neighbours 3"]

    def to_positions(
        self, slopes: Float[np.ndarray, "neighbours 3"], atom: int, atoms: int
    ) -> Float[np.ndarray, "atoms 3"]:
        """∂f/∂r of all atoms from ∂f/∂d: an atom moves with all its periodic images, and the atom itself moves against all its neighbours."""
        gradient = np.zeros((atoms, 3))
        np.add.at(gradient, self.neighbour, slopes)
        gradient[atom] -= slopes.sum(axis=0)
        return gradient

    def to_strain(self, slopes: Float[np.ndarray, "neighbours 3"]) -> Float[np.ndarray, "3 3"]:
        """∂f/∂ε for d → (1 + ε)d, ε symmetric: the symmetric part of Σ_k ∂f/∂d_k d_kᵀ."""
        virial = np.einsum("ka,kb->ab", slopes, self.displacement)
        return 0.5 * (virial + virial.T)


def tensor_derivatives(model: TensorGPR, atoms: Atoms, atom: int) -> TensorDerivatives:
    """Derivatives of the predicted tensor of one atom by reverse-mode differentiation, in float64.

    A prediction depends on the displacements to the neighbours within the cutoff and on nothing else, so that these derivatives hold all others.
    They are exact for a descriptor with a smooth cutoff; with a hard one (``cutoff_width=0``) the prediction jumps where an atom crosses it.

    Args:
        model: fitted, for EFG or shielding of atoms.
        atoms: structure.
        atom: index of the atom.

    Raises:
        InputError: the model is not fitted, or of another kind; not one structure; no such atom, or an element that the model does not predict; a bad structure.
    """
    _check_model(model)
    if not isinstance(atoms, Atoms):
        raise InputError(f"derivatives are one structure's, and this is a {type(atoms).__name__}; pass one ase.Atoms")
    (atoms,) = check_frames(atoms)
    if not 0 <= atom < len(atoms):
        raise InputError(f"has no atom {atom}; its {len(atoms)} atoms are numbered from 0", **place_of(atoms, 0))
    symbol = atoms.symbols[atom]
    if symbol not in model.known:
        raise InputError(
            f"the model predicts nothing for {symbol}; it was trained for {', '.join(model.known)}: choose such an atom",
            atom=name_atom(atoms, atom),
            **place_of(atoms, 0),
        )
    descriptor, fitted = model.descriptor, model.fitted
    batch = environments([atoms], float(descriptor.cutoff), descriptor.species, [np.array([atom])])
    regressions = regressions_of(fitted, symbol)
    with x64():
        neighbours = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:1], batch.neighbours())  # the rest is padding
        predictor = Predictor.of(fitted.bases[symbol], regressions, symbol, np.asarray(model.zeta, dtype=float))
        scales = {irrep: np.asarray(r.scale, dtype=float) for irrep, r in regressions.items()}
        value, jacobian = _value_and_jacobian(
            neighbours.displacements,
            neighbours,
            cast(predictor, np.dtype(float)),
            scales,
            cast(descriptor, np.dtype(float)),
        )
    real = np.asarray(batch.mask[0])
    return TensorDerivatives(
        tensor=np.asarray(value) + np.asarray(mean_value(fitted.target, regressions)),
        neighbour=np.asarray(batch.neighbour[0])[real],
        displacement=np.asarray(neighbours.displacements[0])[real],
        gradient=np.asarray(jacobian)[:, :, 0][:, :, real],
    )


@eqx.filter_jit
def _value_and_jacobian(
    displacements: Float[Array, "1 neighbours 3"],
    neighbours: Neighbours,
    predictor: Predictor,
    scales: dict,
    descriptor,
) -> tuple[Float[Array, "3 3"], Float[Array, "3 3 1 neighbours 3"]]:
    """The tensor without its mean, and ∂V/∂d: nine backward passes at once, compiled once for all structures of a shape."""

    def tensor(moved):
        at = eqx.tree_at(lambda n: n.displacements, neighbours, moved)
        return cartesian_chunk(predictor, scales, descriptor, "matrix", at)[0]

    return tensor(displacements), jax.jacrev(tensor)(displacements)


def _check_model(model: TensorGPR) -> None:
    if not isinstance(model, TensorGPR):
        raise InputError(f"derivatives want a tensor model, not a {type(model).__name__}; train a TensorGPR")
    if model.fitted is None:
        raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
    target = model.fitted.target
    if not (target.is_efg or (target.name == "ms" and target.per == "atom")):
        raise InputError(
            f"the model predicts '{target.name}'; sensitivities are those of an EFG or a shielding of atoms"
        )
