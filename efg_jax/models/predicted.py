"""Predictions of a structure, and the choice of the atoms that are predicted."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.site_selection import check_indices, listed

DType = Literal["float64", "float32"]
Variance = bool | Literal["isotropic"]


class Predicted(NamedTuple):
    """The prediction of one target of one structure.

    Attributes:
        atoms: the structure, the object that was passed.
        values: in the target's unit and shape, one an atom (NaN where nothing is predicted) or one for the structure;
            for a scalar model a dict of arrays (atoms, ...).
        variance: summed over components, or that of the isotropic value, one an atom or one for the structure; None
            unless it was asked for.
        centres: indices of the atoms that were predicted, or that contribute to the structure's target.
    """

    atoms: Atoms
    values: Float[np.ndarray, "..."] | dict[str, Float[np.ndarray, "atoms ..."]]
    variance: Float[np.ndarray, "..."] | None
    centres: Int[np.ndarray, " centres"]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """Arrays by the name under which a structure carries them.

        Args:
            name: of the target.

        Returns:
            The values under ``name``, with a variance its square root under ``name_std``; for a scalar model each
            quantity under its own name.
        """
        if isinstance(self.values, dict):
            return dict(self.values)
        return {name: self.values} | ({} if self.variance is None else {f"{name}_std": np.sqrt(self.variance)})


class PredictionOptions(NamedTuple):
    """How to predict: the arguments of `FittedModel.predict` that concern neither the structures nor the target."""

    variance: Variance
    dtype: np.dtype
    species: str | Sequence[str] | None
    indices: Iterable[Any] | None
    chunk: int | Literal["auto"]


class Choice:
    """The atoms that are predicted: all of the model's species, or fewer.

    Args:
        known: the model's species.
        species: elements among them; None: all.
        indices: of atoms in every structure; None: all.

    Raises:
        InputError: the model does not predict one of the species, or indices that are no whole numbers.
    """

    def __init__(self, known: Sequence[str], species: str | Sequence[str] | None, indices: Iterable[Any] | None):
        wanted = (species,) if isinstance(species, str) else species
        if unknown := [symbol for symbol in wanted or () if symbol not in known]:
            raise InputError(f"the model predicts nothing for {unknown[0]}; it was trained for {', '.join(known)}")
        self.species = tuple(known) if wanted is None else tuple(dict.fromkeys(wanted))
        self._indices = None if indices is None else listed(indices)

    def __call__(self, number: int, atoms: Atoms) -> dict[str, Int[np.ndarray, " _"]]:
        """Indices of the chosen atoms by element, in ascending order."""
        if self._indices is None:
            return {symbol: np.flatnonzero(atoms.numbers == atomic_numbers[symbol]) for symbol in self.species}
        check_indices(self._indices, atoms, number)
        numbers = atoms.numbers[self._indices]
        return {symbol: self._indices[numbers == atomic_numbers[symbol]] for symbol in self.species}


def nothing_to_predict(wanted: Iterable[str], present: Iterable[str]) -> InputError:
    """The error for structures without any atom that is predicted.

    Args:
        wanted: elements of the model.
        present: elements of the structures.
    """
    return InputError(
        f"nothing to predict: the model is for {', '.join(sorted(wanted))}, and the structures contain "
        f"{', '.join(sorted(present)) or 'no atoms'}"
    )
