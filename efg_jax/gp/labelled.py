"""What a model is trained on: which atoms carry labels, their environments, and the targets that these add up to."""

from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis, gather
from efg_jax.gp.representatives import SELECTIONS
from efg_jax.structures.site_selection import learned_elements, select
from efg_jax.structures.targets import Target, labels, place_of


class TrainingData(NamedTuple):
    """Labelled targets of one group of species.

    Attributes:
        bases: environments by species, with features.
        values: Cartesian labels, one a row.
        groups: the structure of each row.
    """

    bases: dict[str, Basis]
    values: Float[np.ndarray, "rows *shape"]
    groups: Int[np.ndarray, " rows"]


def as_regularisation(value: float | str) -> float | str:
    """NumPy's numbers as Python's; "auto" as it is."""
    return float(value) if isinstance(value, Real) else value


def check_options(zeta: Array | np.ndarray, regularisation: float | str) -> None:
    """Refuse a ζ below 1 (its kernel is not positive definite) and a regularisation that is not positive."""
    if isinstance(zeta, np.ndarray) and not zeta >= 1:
        raise InputError(f"zeta = {zeta} is below 1; give 1 (linear), 2 or more")
    if regularisation != "auto" and not (isinstance(regularisation, Real) and 0 < regularisation < np.inf):
        raise InputError(f"regularisation {regularisation!r} is not positive; give a number such as 1e-4, or 'auto'")


def check_sparse(inducing: int | None, selection: str, primal: bool, zeta: Array | np.ndarray) -> None:
    """Refuse options of a sparse model that contradict each other."""
    if inducing is not None and (isinstance(inducing, bool) or not isinstance(inducing, int) or inducing < 1):
        raise InputError(
            f"inducing = {inducing} is no whole number from 1 on; 1000 is usual, None makes the model dense"
        )
    if selection not in SELECTIONS:
        raise InputError(f"selection = {selection!r} is unknown; choose {' or '.join(SELECTIONS)}")
    if primal and inducing is not None:
        raise InputError("a primal model has no inducing environments; leave out either primal or inducing")
    if primal and isinstance(zeta, np.ndarray) and zeta != 1.0:
        raise InputError(f"a primal model is linear in the features: zeta = {zeta} cannot be; give zeta = 1")


def groups_of(species: tuple[str, ...] | None, target: Target, structures: Sequence[Atoms]) -> list[tuple[str, ...]]:
    """Elements that are learned together: each by itself for a target per atom, all at once per structure.

    Raises:
        InputError: see `learned_elements`.
    """
    elements = learned_elements(species, target, structures)
    return [elements] if target.per == "structure" else [(symbol,) for symbol in elements]


class Labelled(NamedTuple):
    """Structures that carry labels for a group of species, and where.

    Attributes:
        structures: those with a label.
        centres: by species, the indices of the atoms that contribute to labels, one array a structure.
        values: Cartesian labels of each structure, (its rows, *shape).
        per_atom: a row is an atom; else a structure.
    """

    structures: list[Atoms]
    centres: dict[str, list[Int[np.ndarray, " _"]]]
    values: list[Float[np.ndarray, "_ *shape"]]
    per_atom: bool

    @property
    def contributions(self) -> Int[np.ndarray, " rows"]:
        """Number of environments that contribute to each row."""
        if self.per_atom:
            return np.ones(sum(map(len, self.values)), dtype=int)
        return np.sum([[len(index) for index in centres] for centres in self.centres.values()], axis=0)

    def environments(
        self, rows: Int[np.ndarray, " rows"], symbol: str
    ) -> list[tuple[int, Int[np.ndarray, " centres"], Int[np.ndarray, " centres"]]]:
        """What contributes to these rows: structures, their atoms of a species, and for each atom the place of its row among ``rows``."""
        if not self.per_atom:
            return [
                (int(i), self.centres[symbol][i], np.full(len(self.centres[symbol][i]), place))
                for place, i in enumerate(rows)
            ]
        owner = np.repeat(np.arange(len(self.values)), [len(values) for values in self.values])[rows]
        atom = np.concatenate(self.centres[symbol])[rows]
        return [(int(i), atom[owner == i], np.flatnonzero(owner == i)) for i in np.unique(owner)]


def labelled(structures: Sequence[Atoms], target: Target, group: tuple[str, ...]) -> Labelled:
    """Labels of one group of species (see `groups_of`); what carries none is left out.

    Raises:
        InputError: a target per structure that nothing carries, or to which no atom contributes.
    """
    values = [labels([atoms], target) for atoms in structures]
    keep = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for value in values]
    if target.per == "atom":
        (symbol,) = group
        chosen = select(structures, symbol, keep)
        used = [i for i, index in enumerate(chosen) if len(index)]
        return Labelled(
            [structures[i] for i in used],
            {symbol: [chosen[i] for i in used]},
            [values[i][chosen[i]] for i in used],
            True,
        )
    used = [i for i, mask in enumerate(keep) if mask.all()]
    if not used:
        raise InputError(f"no structure carries a label of '{target.name}'; all are NaN")
    kept = [structures[i] for i in used]
    found = Labelled(kept, {symbol: select(kept, symbol) for symbol in group}, [values[i] for i in used], False)
    if (empty := np.flatnonzero(found.contributions == 0)).size:
        raise InputError(
            f"contains no {' or '.join(group)}, so nothing contributes to its target; leave it out, or name its elements",
            **place_of(kept[int(empty[0])], int(empty[0])),
        )
    return found


def training_data(found: Labelled, descriptor: LambdaSOAP, irreps: tuple[Irrep, ...]) -> TrainingData:
    """All environments of what is labelled, with features for these irreps."""
    owner = np.repeat(np.arange(len(found.structures)), [len(value) for value in found.values])
    bases = {}
    for symbol, chosen in found.centres.items():
        rows = np.repeat(np.arange(len(chosen)), [len(index) for index in chosen])
        rows = np.arange(len(rows)) if found.per_atom else rows
        bases[symbol] = Basis(gather(found.structures, descriptor, chosen), rows).with_features(descriptor, irreps)
    return TrainingData(bases, np.concatenate(found.values), owner)
