"""What a kernel model is trained on: labelled structures, the atoms that contribute to each label, and its irreps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis, gather
from efg_jax.structures.site_selection import learned_elements, select
from efg_jax.structures.targets import Target, labels, place_of, to_irreps

SpeciesGroup = tuple[str, ...]
"""Elements that are learned together: one for a target per atom, all of them for one per structure."""


def species_groups(species: tuple[str, ...] | None, target: Target, structures: Sequence[Atoms]) -> list[SpeciesGroup]:
    """The groups of elements that a model learns from these structures.

    Raises:
        InputError: see `learned_elements`.
    """
    elements = learned_elements(species, target, structures)
    return [elements] if target.per == "structure" else [(symbol,) for symbol in elements]


class IrrepTargets(NamedTuple):
    """One irrep of the labels as it is learned: y = mean·contributions + scale·values.

    Contributions count as one where the label is their mean.

    One number scales all 2λ+1 components, and only λ = 0 is centred: anything else would break equivariance.

    Attributes:
        irrep: (λ, parity).
        values: scaled spherical components.
        mean: mean label for λ = 0, in the target's unit, per contributing environment where they are summed; else 0.
        scale: root mean square of the centred labels.
    """

    irrep: Irrep
    values: Float[np.ndarray, "rows components"]
    mean: float
    scale: float

    @classmethod
    def of(
        cls,
        irrep: Irrep,
        labels: Float[np.ndarray, "rows components"],
        contributions: Int[np.ndarray, " rows"] | Float[np.ndarray, " rows"],
    ) -> "IrrepTargets":
        """Centre and scale labels; each has so many times the mean."""
        mean = float(labels.sum() / contributions.sum()) if irrep == INVARIANT else 0.0
        centred = labels - mean * contributions[:, None]
        scale = float(np.sqrt(np.mean(centred**2))) or 1.0
        return cls(irrep, centred / scale, mean, scale)


class LabelledStructures(NamedTuple):
    """Structures that carry labels for a group of species, and the atoms that contribute. A row is one label.

    Attributes:
        target: what is learned.
        structures: those with a label.
        centres: by species, the indices of the contributing atoms in each structure.
        values: Cartesian labels of each structure, (its rows, *shape), in the target's unit.
    """

    target: Target
    structures: list[Atoms]
    centres: Mapping[str, list[Int[np.ndarray, " _"]]]
    values: list[Float[np.ndarray, "_ *shape"]]

    @property
    def name(self) -> str:
        """Species and target, for messages."""
        return f"{'+'.join(self.centres)} {self.target.name}"

    @property
    def per_atom(self) -> bool:
        """Whether a row is an atom; else it is a structure."""
        return self.target.per == "atom"

    @property
    def labels(self) -> Float[np.ndarray, "rows *shape"]:
        """All Cartesian labels."""
        return np.concatenate(self.values)

    @property
    def counts(self) -> Int[np.ndarray, " structures"]:
        """Number of labels of each structure."""
        return np.array([len(values) for values in self.values])

    @property
    def structure_of_row(self) -> Int[np.ndarray, " rows"]:
        """Number of the structure of each row."""
        return np.repeat(np.arange(len(self.values)), self.counts)

    @property
    def contributions(self) -> Int[np.ndarray, " rows"]:
        """Number of environments that contribute to each row."""
        if self.per_atom:
            return np.ones(self.counts.sum(), dtype=int)
        return np.sum([[len(index) for index in centres] for centres in self.centres.values()], axis=0)

    @property
    def shares(self) -> Float[np.ndarray, " rows"] | None:
        """What each environment counts in the label of its row, where that is a mean over them; None: it is a sum."""
        return None if self.target.extensive else 1.0 / self.contributions

    def irrep_targets(self) -> dict[Irrep, IrrepTargets]:
        """The irreps of all labels, centred and scaled."""
        parts = to_irreps(self.target, self.labels)
        contributions = self.contributions if self.shares is None else self.contributions * self.shares
        return {irrep: IrrepTargets.of(irrep, part, contributions) for irrep, part in parts.items()}

    def contributing(
        self, rows: Int[np.ndarray, " rows"], symbol: str
    ) -> list[tuple[int, Int[np.ndarray, " centres"], Int[np.ndarray, " centres"]]]:
        """Atoms of a species that contribute to some rows: structure, indices, place of each atom's row in ``rows``."""
        if not self.per_atom:
            return [
                (int(i), self.centres[symbol][i], np.full(len(self.centres[symbol][i]), place))
                for place, i in enumerate(rows)
            ]
        structure, atom = self.structure_of_row[rows], np.concatenate(self.centres[symbol])[rows]
        return [(int(i), atom[structure == i], np.flatnonzero(structure == i)) for i in np.unique(structure)]

    def bases(self, descriptor: LambdaSOAP, irreps: Sequence[Irrep]) -> dict[str, Basis]:
        """All contributing environments by species, with features of these irreps."""
        bases = {}
        for symbol, chosen in self.centres.items():
            structure = np.repeat(np.arange(len(chosen)), [len(index) for index in chosen])
            rows = np.arange(len(structure)) if self.per_atom else structure
            bases[symbol] = Basis(gather(self.structures, descriptor, chosen), rows).with_features(descriptor, irreps)
        return bases


def labelled_structures(structures: Sequence[Atoms], target: Target, group: SpeciesGroup) -> LabelledStructures:
    """Labels of one group of species (see `species_groups`); atoms and structures without a label are left out.

    Raises:
        InputError: no structure carries a target per structure, or no atom contributes to it.
    """
    values = [labels([atoms], target) for atoms in structures]
    keep = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for value in values]
    if target.per == "atom":
        (symbol,) = group
        chosen = select(structures, symbol, keep)
        used = [i for i, index in enumerate(chosen) if len(index)]
        return LabelledStructures(
            target,
            [structures[i] for i in used],
            {symbol: [chosen[i] for i in used]},
            [values[i][chosen[i]] for i in used],
        )
    used = [i for i, mask in enumerate(keep) if mask.all()]
    if not used:
        raise InputError(f"no structure carries a label of '{target.name}' (all are NaN); add labels")
    kept = [structures[i] for i in used]
    centres = {symbol: select(kept, symbol) for symbol in group}
    found = LabelledStructures(target, kept, centres, [values[i] for i in used])
    if (empty := np.flatnonzero(found.contributions == 0)).size:
        raise InputError(
            f"contains no {' or '.join(group)}, so no atom contributes to its target; leave it out, or name its "
            "elements",
            **place_of(kept[int(empty[0])], int(empty[0])),
        )
    return found
