"""Exact derivatives of a predicted tensor with respect to positions and strain."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.errors import InputError
from efg_jax.models.protocol import FittedModel
from efg_jax.precision import x64
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
        """∂f/∂r of all atoms from ∂f/∂d: an atom moves with all its periodic images, and the atom itself moves against
        all its neighbours.
        """
        gradient = np.zeros((atoms, 3))
        np.add.at(gradient, self.neighbour, slopes)
        gradient[atom] -= slopes.sum(axis=0)
        return gradient

    def to_strain(self, slopes: Float[np.ndarray, "neighbours 3"]) -> Float[np.ndarray, "3 3"]:
        """∂f/∂ε for d → (1 + ε)d, ε symmetric: the symmetric part of Σ_k ∂f/∂d_k d_kᵀ."""
        virial = np.einsum("ka,kb->ab", slopes, self.displacement)
        return 0.5 * (virial + virial.T)


def tensor_derivatives(fitted: FittedModel, atoms: Atoms, atom: int) -> TensorDerivatives:
    """Derivatives of the predicted tensor of one atom by reverse-mode differentiation, in float64.

    A prediction depends on the displacements to the neighbours within the cutoff and on nothing else, so that these
    derivatives contain all others. They are exact for a descriptor with a smooth cutoff; with a hard one
    (``cutoff_width=None``) the prediction jumps where an atom crosses it.

    Args:
        fitted: a model of EFG or shielding of atoms that is local, such as a fitted `TensorGPR`.
        atoms: structure.
        atom: index of the atom.

    Raises:
        InputError: a model of another kind; not one structure; no such atom, or an element that the model does not
            predict; a bad structure.
    """
    _check_model(fitted)
    if not isinstance(atoms, Atoms):
        raise InputError(f"expected one ase.Atoms, got a {type(atoms).__name__}")
    (atoms,) = check_frames(atoms)
    if not 0 <= atom < len(atoms):
        raise InputError(f"has no atom {atom}; its {len(atoms)} atoms are numbered from 0", **place_of(atoms, 0))
    symbol = atoms.symbols[atom]
    if symbol not in fitted.species:
        raise InputError(
            f"the model predicts nothing for {symbol}; it was trained for {', '.join(fitted.species)}: choose such "
            "an atom",
            atom=name_atom(atoms, atom),
            **place_of(atoms, 0),
        )
    descriptor = fitted.model.descriptor
    batch = environments([atoms], float(descriptor.cutoff), descriptor.species, [np.array([atom])])
    with x64():
        neighbours = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:1], batch.neighbours())  # the rest is padding
        value, jacobian = _value_and_jacobian(neighbours.displacements, neighbours, fitted)
    real = np.asarray(batch.mask[0])
    return TensorDerivatives(
        tensor=np.asarray(value),
        neighbour=np.asarray(batch.neighbour[0])[real],
        displacement=np.asarray(neighbours.displacements[0])[real],
        gradient=np.asarray(jacobian)[:, :, 0][:, :, real],
    )


@eqx.filter_jit
def _value_and_jacobian(
    displacements: Float[Array, "1 neighbours 3"], neighbours: Neighbours, fitted: FittedModel
) -> tuple[Float[Array, "3 3"], Float[Array, "3 3 1 neighbours 3"]]:
    """The tensor and ∂V/∂d: nine backward passes at once, compiled once for all structures of a shape."""

    def tensor(moved):
        return fitted.tensors(eqx.tree_at(lambda n: n.displacements, neighbours, moved))[0]

    return tensor(displacements), jax.jacrev(tensor)(displacements)


def _check_model(fitted: FittedModel) -> None:
    target = fitted.tensor_target()
    if not fitted.is_local:
        raise InputError(
            f"sensitivities need a model that looks at one cutoff only, got a {fitted.model.kind} model; fit a "
            "TensorGPR"
        )
    if not (target.is_efg or target.name == "ms"):
        raise InputError(f"sensitivities are those of an EFG or a shielding, and the model predicts '{target.name}'")
