"""Structures as batches of one shape. A structure is never divided."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.network.architecture import Architecture
from efg_jax.network.heads import Parts
from efg_jax.network.rows import in_rows, lengthened
from efg_jax.network.standard_units import Standard
from efg_jax.precision import cast
from efg_jax.structures.environments import Environments, environments, species_of
from efg_jax.structures.padding import bucket, lengthen
from efg_jax.structures.targets import Target, labels, place_of, to_irreps


class Sample(NamedTuple):
    """One structure: environments in rows, and for each target labels in standard units and which atoms have them."""

    environments: Environments
    labels: dict[str, Parts]
    labelled: dict[str, np.ndarray]
    place: dict[str, Any]  # file and frame, or position in the caller's list

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return len(self.environments.positions)

    @property
    def rows(self) -> int:
        """Number of rows of neighbours."""
        return self.environments.size

    @property
    def pairs(self) -> int:
        """Number of pairs of neighbours, each counted from both sides."""
        return int(np.sum(self.environments.mask))


class Batch(eqx.Module):
    """Several structures in arrays of one shape for all batches.

    Labels of padding and of unlabelled atoms are zero.
    """

    environments: Environments
    labels: dict[str, dict[tuple[int, int], Float[Array | np.ndarray, "atoms _"]]]  # in standard units
    labelled: dict[str, Float[Array | np.ndarray, " atoms"]]  # 1 or 0


class Shape(NamedTuple):
    """Sizes of a batch, padding included."""

    atoms: int
    rows: int
    structures: int


def samples(
    structures: Mapping[int, Atoms],
    architecture: Architecture,
    targets: Sequence[Target],
    standards: Mapping[str, Standard],
    wanted: Sequence[str] | None = None,
) -> list[Sample]:
    """Samples of structures (host).

    Args:
        structures: by their position in the caller's list.
        architecture: of the network.
        targets: whose labels are collected.
        standards: units of each.
        wanted: elements whose labels count; None: all that the standards know.

    Raises:
        InputError: an element that the network does not know.
    """
    found = []
    counts = np.array([wanted is None or symbol in wanted for symbol in architecture.species])
    for number, atoms in structures.items():
        species = species_of(atoms, architecture.species, number)
        batch = in_rows(environments([atoms], architecture.cutoff, architecture.species, pad=False))
        own, labelled = {}, {}
        for target in targets:
            values = labels([atoms], target)
            present = np.isfinite(values).reshape(len(atoms), -1).all(axis=1)
            present &= (np.array(standards[target.name].labelled) & counts)[species]
            parts = standards[target.name].standardised(to_irreps(target, values), species)
            own[target.name] = {irrep: np.where(present[:, None], part, 0.0) for irrep, part in parts.items()}
            labelled[target.name] = present
        found.append(Sample(batch, own, labelled, place_of(atoms, number)))
    return found


def named(found: Sequence[Sample]) -> str:
    """Files and frames of samples as text: "a.extxyz, frames 3, 7"."""
    frames: dict[str, list[int]] = {}
    for sample in found:
        frames.setdefault(sample.place.get("file", ""), []).append(sample.place["frame"])
    return "; ".join(
        f"{file}{', ' * bool(file)}frame{'s' * (len(numbers) > 1)} {', '.join(map(str, sorted(numbers)))}"
        for file, numbers in frames.items()
    )


def common_shape(found: Sequence[Sample], edges: int) -> Shape:
    """The shape of all batches: for about this many pairs of atoms, and at least for the largest structure."""
    all_rows, all_atoms = sum(sample.rows for sample in found), sum(sample.atoms for sample in found)
    all_pairs = max(sum(sample.pairs for sample in found), 1)
    rows = bucket(max(min(edges * all_rows // all_pairs, all_rows), *(sample.rows for sample in found)))
    atoms = bucket(max(round(rows * all_atoms / all_rows), *(sample.atoms for sample in found)))
    return Shape(atoms, rows, max(1, atoms // min(sample.atoms for sample in found)))


def packed(found: Sequence[Sample], order: Sequence[int], shape: Shape) -> Iterator[list[Sample]]:
    """Samples in this order, as many in a batch as its shape holds."""
    waiting: list[Sample] = []
    for index in order:
        sample = found[index]
        together = [*waiting, sample]
        if (
            sum(s.atoms for s in together) > shape.atoms
            or sum(s.rows for s in together) > shape.rows
            or len(together) > shape.structures
        ):
            yield waiting
            together = [sample]
        waiting = together
    if waiting:
        yield waiting


def joined(together: Sequence[Sample], shape: Shape, dtype: np.dtype) -> Batch:
    """One batch of these samples, padded to the shape."""
    first = np.cumsum([0, *(sample.atoms for sample in together)])
    parts = [_moved(sample.environments, int(first[row]), row) for row, sample in enumerate(together)]
    environments = Environments(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    environments = cast(lengthened(environments, *shape), dtype)
    of_targets = {
        name: {
            irrep: _stacked([sample.labels[name][irrep] for sample in together], shape.atoms, dtype) for irrep in parts
        }
        for name, parts in together[0].labels.items()
    }
    labelled = {
        name: _stacked([sample.labelled[name].astype(dtype) for sample in together], shape.atoms, dtype)
        for name in of_targets
    }
    return Batch(environments, of_targets, labelled)


def _moved(environments: Environments, atom: int, structure: int) -> dict[str, np.ndarray]:
    """Fields of a structure with its indices shifted to its first atom and its place in the batch."""
    values = {field.name: np.asarray(getattr(environments, field.name)) for field in fields(environments)}
    by = {"centre": atom, "neighbour": atom, "structure": structure}
    return {name: value + value.dtype.type(by[name]) if name in by else value for name, value in values.items()}


def _stacked(parts: Sequence[np.ndarray], length: int, dtype: np.dtype) -> np.ndarray:
    """Rows one after another, padded with zeros; real numbers in this precision."""
    values = lengthen(np.concatenate(parts), length)
    return values.astype(dtype) if values.dtype.kind == "f" else values
