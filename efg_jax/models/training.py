"""What a model is trained on: which atoms carry labels, their environments, and the targets that these add up to."""

from collections.abc import Sequence
from numbers import Real
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.models.basis import Basis, gather, select
from efg_jax.targets import Target, labels, place_of


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


def as_group(species: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """One element or several as a tuple; None stays None."""
    return (species,) if isinstance(species, str) else species and tuple(species)


def as_regularisation(value: float | str) -> float | str:
    """NumPy's numbers as Python's; "auto" as it is."""
    return float(value) if isinstance(value, Real) else value


def check_options(zeta: Array | np.ndarray, regularisation: float | str) -> None:
    """Refuse a ζ below 1 (its kernel is not positive definite) and a regularisation that is not positive."""
    if isinstance(zeta, np.ndarray) and not zeta >= 1:
        raise InputError(f"zeta = {zeta} is below 1; give 1 (linear), 2 or more")
    if regularisation != "auto" and not (isinstance(regularisation, Real) and 0 < regularisation < np.inf):
        raise InputError(f"regularisation {regularisation!r} is not positive; give a number such as 1e-4, or 'auto'")


def groups_of(species: tuple[str, ...] | None, target: Target, structures: Sequence[Atoms]) -> list[tuple[str, ...]]:
    """Groups of centre species that are learned together: each by itself for a target per atom, all at once per structure.

    Raises:
        InputError: an element that no structure has or whose atoms carry no label, or no label at all.
    """
    present = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    if species is not None and (absent := [symbol for symbol in species if symbol not in present]):
        raise InputError(f"no structure contains {', '.join(absent)}; choose among {', '.join(present)}")
    if target.per == "structure":
        return [tuple(species or present)]
    labelled = [symbol for symbol in present if np.isfinite(labels(structures, target, symbol)).any()]
    if not labelled:
        raise InputError(f"no atom carries a label of '{target.name}'; all are NaN")
    if species is not None and (bare := [symbol for symbol in species if symbol not in labelled]):
        raise InputError(
            f"no {bare[0]} atom carries a label of '{target.name}' (all are NaN); labelled are {', '.join(labelled)}"
        )
    return [(symbol,) for symbol in (species or labelled)]


def training_data(
    structures: Sequence[Atoms],
    target: Target,
    group: tuple[str, ...],
    descriptor: LambdaSOAP,
    irreps: tuple[Irrep, ...],
) -> TrainingData:
    """Environments (with features for these irreps) and labels of one group (see `groups_of`); unlabelled rows are left out."""
    per_structure = [labels([atoms], target) for atoms in structures]
    if target.per == "atom":
        (symbol,) = group
        keep = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for value in per_structure]
        chosen = select(structures, symbol, keep)
        values = np.concatenate([value[index] for value, index in zip(per_structure, chosen, strict=True)])
        owner = np.repeat(np.arange(len(structures)), [len(index) for index in chosen])
        basis = Basis(gather(structures, descriptor, chosen), np.arange(len(values)))
        return TrainingData({symbol: basis.with_features(descriptor, irreps)}, values, owner)
    values = np.concatenate(per_structure)
    used = np.flatnonzero(np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if used.size == 0:
        raise InputError(f"no structure carries a label of '{target.name}'; all are NaN")
    kept = [structures[i] for i in used]
    bases = {}
    for symbol in group:
        chosen = select(kept, symbol)
        rows = np.repeat(np.arange(len(kept)), [len(index) for index in chosen])
        bases[symbol] = Basis(gather(kept, descriptor, chosen), rows).with_features(descriptor, irreps)
    _require_contributions(kept, bases, group)
    return TrainingData(bases, values[used], np.arange(len(used)))


def _require_contributions(structures: Sequence[Atoms], bases: dict[str, Basis], group: tuple[str, ...]) -> None:
    covered = np.concatenate([basis.rows for basis in bases.values()])
    empty = np.setdiff1d(np.arange(len(structures)), covered)
    if empty.size:
        atoms = structures[int(empty[0])]
        raise InputError(
            f"contains no {' or '.join(group)}, so nothing contributes to its target; leave it out, or name its elements",
            **place_of(atoms, int(empty[0])),
        )
