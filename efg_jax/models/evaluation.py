"""From predictions of structures to reports."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from efg_jax.crystal_frame import field_direction
from efg_jax.metrics import Scale
from efg_jax.models.basis import select
from efg_jax.report import Report
from efg_jax.targets import Target, labels
from efg_jax.tensors.nuclei import Isotope


def efg_report(
    structures: Sequence[Atoms],
    predicted: Sequence[np.ndarray],
    target: Target,
    scales: Mapping[str, Scale],
    isotopes: Mapping[str, Isotope | str] | None,
    title: str,
) -> Report:
    """Report on predicted EFG tensors; the field is along the z axis of each crystal frame."""
    chosen = labelled(structures, target, list(scales))
    reference = {
        symbol: _rows([labels([atoms], target) for atoms in structures], index) for symbol, index in chosen.items()
    }
    model = {symbol: _rows(predicted, index) for symbol, index in chosen.items()}
    return Report.from_tensors(reference, model, directions(structures, chosen), scales, isotopes, title)


def scalar_report(
    structures: Sequence[Atoms],
    predicted: Sequence[Mapping[str, np.ndarray]],
    target: Target,
    scales: Mapping[str, Scale],
    isotopes: Mapping[str, Isotope | str] | None,
    title: str,
) -> Report:
    """Report on predicted scalars per atom."""
    chosen = labelled(structures, target, list(scales))
    reference = {
        symbol: _rows([labels([atoms], target) for atoms in structures], index) for symbol, index in chosen.items()
    }
    model = {
        symbol: {name: _rows([values[name] for values in predicted], index) for name in predicted[0]}
        for symbol, index in chosen.items()
    }
    return Report.from_scalars(reference, model, directions(structures, chosen), scales, isotopes, title)


def labelled(structures: Sequence[Atoms], target: Target, species: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Indices of the labelled atoms of each species in each structure; species without any are left out."""
    keep = [np.isfinite(labels([atoms], target)).reshape(len(atoms), -1).all(axis=1) for atoms in structures]
    chosen = {symbol: select(structures, symbol, keep) for symbol in species}
    return {symbol: index for symbol, index in chosen.items() if any(map(len, index))}


def directions(structures: Sequence[Atoms], chosen: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """The field direction for each chosen atom."""
    fields = np.stack([field_direction(atoms) for atoms in structures])
    return {symbol: np.repeat(fields, [len(i) for i in index], axis=0) for symbol, index in chosen.items()}


def _rows(values: Sequence[np.ndarray], index: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([value[i] for value, i in zip(values, index, strict=True)])
