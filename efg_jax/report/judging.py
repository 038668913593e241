"""From predictions of structures to reports."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.report import Report, TargetReport
from efg_jax.report.target_report import PER_STRUCTURE
from efg_jax.structures.crystal_frame import field_direction
from efg_jax.structures.site_selection import select
from efg_jax.structures.targets import Target, labels
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
    reference, model = _reference(structures, target, chosen), _chosen(predicted, chosen)
    return Report.from_tensors(reference, model, directions(structures, chosen), scales, isotopes, title)


def target_report(
    structures: Sequence[Atoms],
    predicted: Sequence[np.ndarray | np.floating],
    target: Target,
    species: Sequence[str],
    title: str,
) -> TargetReport:
    """Report on predictions of any target: by species, or under "structure" for a target per structure.

    Args:
        structures: with labels; what carries none is left out.
        predicted: Cartesian values of each structure, as `TensorGPR.predict` gives them.
        target: what was predicted.
        species: elements that the model predicts (of no concern for a target per structure).
        title: heading of the report.

    Raises:
        InputError: no labels for the model's species.
    """
    if target.per == "structure":
        reference, model = labels(structures, target), np.stack([np.asarray(value) for value in predicted])
        return TargetReport.from_arrays(target, {PER_STRUCTURE: reference}, {PER_STRUCTURE: model}, title)
    chosen = labelled(structures, target, species)
    return TargetReport.from_arrays(target, _reference(structures, target, chosen), _chosen(predicted, chosen), title)


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
    reference = _reference(structures, target, chosen)
    by_name = {name: _chosen([values[name] for values in predicted], chosen) for name in predicted[0]}
    model = {symbol: {name: rows[symbol] for name, rows in by_name.items()} for symbol in chosen}
    return Report.from_scalars(reference, model, directions(structures, chosen), scales, isotopes, title)


def labelled(structures: Sequence[Atoms], target: Target, species: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Indices of the labelled atoms of each species in each structure; species without any are left out, but one must
    be there.
    """
    keep = [np.isfinite(labels([atoms], target)).reshape(len(atoms), -1).all(axis=1) for atoms in structures]
    chosen = {symbol: select(structures, symbol, keep) for symbol in species}
    chosen = {symbol: index for symbol, index in chosen.items() if any(map(len, index))}
    if not chosen:
        raise InputError(
            f"nothing to evaluate: no atom of {', '.join(species)} carries '{target.name}'; "
            "pass structures that have labels"
        )
    return chosen


def directions(structures: Sequence[Atoms], chosen: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """The field direction for each chosen atom."""
    fields = np.stack([field_direction(atoms) for atoms in structures])
    return {symbol: np.repeat(fields, [len(i) for i in index], axis=0) for symbol, index in chosen.items()}


def _reference(
    structures: Sequence[Atoms], target: Target, chosen: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, np.ndarray]:
    """Labels of the chosen atoms by species."""
    return _chosen([labels([atoms], target) for atoms in structures], chosen)


def _chosen(values: Sequence[np.ndarray], chosen: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of the chosen atoms by species, from values of all atoms of each structure."""
    return {
        symbol: np.concatenate([value[rows] for value, rows in zip(values, index, strict=True)])
        for symbol, index in chosen.items()
    }
