"""From atoms to arrays: environments of chosen atoms, padded so that similar structures share their shapes."""

from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from jaxtyping import Array, Bool, Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.neighbour_lists import neighbour_pairs
from efg_jax.structures.occupancy import check_occupancy
from efg_jax.structures.padding import bucket, lengthen, widen

LEAST_NEIGHBOURS = 64  # about the number within 5 Å in an oxide, so that polymorphs of one composition share shapes


class Environments(eqx.Module):
    """A batch of atomic environments as arrays of fixed shape: the one data contract between host and device.

    Displacements are computed from positions and cells (`displacements`), so that `jax.grad` gives gradients with
    respect to positions and cell vectors. Padding is data: padded neighbours have ``mask`` False, padded centres
    ``centre_mask`` False.
    """

    positions: Float[Array | np.ndarray, "atoms 3"]  # Å, all structures one after the other
    cells: Float[Array | np.ndarray, "structures 3 3"]  # Å, rows are cell vectors
    centre: Int[Array | np.ndarray, " centres"]  # index into positions
    structure: Int[Array | np.ndarray, " centres"]  # index into cells
    neighbour: Int[Array | np.ndarray, "centres neighbours"]  # index into positions
    shift: Float[Array | np.ndarray, "centres neighbours 3"]  # cell translation of the neighbour, integers
    neighbour_species: Int[Array | np.ndarray, "centres neighbours"]  # index into the descriptor's species
    centre_species: Int[Array | np.ndarray, " centres"]
    mask: Bool[Array | np.ndarray, "centres neighbours"]
    centre_mask: Bool[Array | np.ndarray, " centres"]

    def displacements(self) -> Float[Array, "centres neighbours 3"]:
        """Vectors from each centre to its neighbours, Å; those of padding are zero."""
        positions, cells = jnp.asarray(self.positions), jnp.asarray(self.cells)
        translation = jnp.einsum("cnk,ckx->cnx", jnp.asarray(self.shift), cells[self.structure])
        displacement = positions[self.neighbour] - positions[self.centre][:, None, :] + translation
        return jnp.where(self.mask[..., None], displacement, 0.0)

    def neighbours(self) -> "Neighbours":
        """The same environments with displacements in place of positions and cells."""
        return Neighbours(
            self.displacements(), self.neighbour_species, self.mask, self.centre_species, self.centre_mask
        )

    def by_atom(self, rows: Float[Array, "centres *shape"]) -> Float[Array, "atoms *shape"]:
        """Rows of the centres as rows of all atoms, zero for atoms that are no centres."""
        atoms = len(self.positions)
        place = jnp.where(jnp.asarray(self.centre_mask), jnp.asarray(self.centre), atoms)
        return jnp.zeros((atoms, *rows.shape[1:]), rows.dtype).at[place].set(rows, mode="drop")

    @property
    def size(self) -> int:
        """Number of centres, padding included."""
        return self.centre.shape[0]


class Neighbours(eqx.Module):
    """The neighbours of each centre, which is all that a descriptor needs.

    Shapes do not depend on the structures, so that batches of any of them share one compilation. Every array has one
    row per centre.
    """

    displacements: Float[Array | np.ndarray, "centres neighbours 3"]  # from the centre, Å
    species: Int[Array | np.ndarray, "centres neighbours"]  # index into the descriptor's species
    mask: Bool[Array | np.ndarray, "centres neighbours"]  # False: padding
    centre_species: Int[Array | np.ndarray, " centres"]
    centre_mask: Bool[Array | np.ndarray, " centres"]

    def by_atom(self, rows: Float[Array, "centres *shape"]) -> Float[Array, "centres *shape"]:
        """The rows themselves: atoms are not known here, only centres."""
        return rows

    @property
    def size(self) -> int:
        """Number of centres, padding included."""
        return self.centre_mask.shape[0]


def environments(
    structures: Sequence[Atoms],
    cutoff: float,
    species: Sequence[str],
    centres: Sequence[Int[np.ndarray, " _"]] | None = None,
    *,
    pad: bool = True,
) -> Environments:
    """Gather the neighbours of each centre within the cutoff, periodic images included. Runs on the host.

    Any cell will do: oblique, smaller than the cutoff, periodic in 0 to 3 directions, atoms outside it.

    Args:
        structures: the atoms.
        cutoff: Å. Gather with a margin if the cutoff itself is to be varied.
        species: elements of the descriptor, in the order of its channels.
        centres: for each structure the indices of the atoms to describe; None: all atoms.
        pad: round all sizes up to few values (`padding.bucket`), so that similar structures share one compilation.

    Returns:
        Environments in the order of structures and indices.

    Raises:
        InputError: an element is not among the species, nothing was selected, or a site is occupied in part.
    """
    if centres is None:
        centres = [np.arange(len(atoms)) for atoms in structures]
    parts, first_atom = [], 0
    for number, (atoms, selected) in enumerate(zip(structures, centres, strict=True)):
        check_occupancy(atoms, number)
        kinds = species_of(atoms, species, number)
        parts.append(_gather(atoms, kinds, np.asarray(selected, dtype=int), float(cutoff), first_atom, number))
        first_atom += len(atoms)
    total = sum(len(part["centre"]) for part in parts)
    if total == 0:
        raise InputError("no atoms were selected; name an element or indices that the structures have")
    widest = max(part["mask"].shape[1] for part in parts)
    size = bucket if pad else int
    widest = size(max(widest, LEAST_NEIGHBOURS if pad else 1))
    joined = {key: np.concatenate([widen(part[key], widest) for part in parts]) for key in parts[0]}
    joined["centre_mask"] = np.ones(total, dtype=bool)
    joined = {key: lengthen(value, size(total)) for key, value in joined.items()}
    positions = np.concatenate([atoms.positions for atoms in structures])
    cells = np.stack([atoms.cell.array for atoms in structures])
    return Environments(
        positions=lengthen(positions, size(len(positions))), cells=lengthen(cells, size(len(cells))), **joined
    )


def with_positions(environments: Environments, positions: Float[Array, "atoms 3"]) -> Environments:
    """The same environments and neighbours with the atoms moved, for derivatives.

    Exact as long as no further atom comes within the cutoff; with a smooth cutoff such an atom has no weight at first.

    Args:
        environments: whose ``positions`` (padded) give the shape.
        positions: Å, of all atoms, padding included.
    """
    return replace(environments, positions=positions)


def with_strain(environments: Environments, strain: Float[Array, "3 3"]) -> Environments:
    """The same environments under strain, r → (1 + ε) r for atoms and cell vectors, for derivatives."""
    deformation = jnp.eye(3, dtype=strain.dtype) + strain
    return replace(
        environments,
        positions=jnp.asarray(environments.positions) @ deformation.T,
        cells=jnp.asarray(environments.cells) @ deformation.T,
    )


def species_of(atoms: Atoms, species: Sequence[str], number: int) -> Int[np.ndarray, " atoms"]:
    """Each atom's element as an index into the species.

    Args:
        atoms: one structure.
        species: elements of the descriptor.
        number: position of the structure in the caller's list, for the message.

    Raises:
        InputError: an element is not among the species.
    """
    code = np.full(len(chemical_symbols), -1)
    code[[chemical_symbols.index(symbol) for symbol in species]] = np.arange(len(species))
    kinds = code[atoms.numbers]
    unknown = np.flatnonzero(kinds < 0)
    if unknown.size:
        atom = int(unknown[0])
        raise InputError(
            f"element {atoms.symbols[atom]} is not among those of the model ({', '.join(species)}); "
            "train on structures that contain it",
            file=atoms.info.get("source_file"),
            frame=atoms.info.get("source_frame", number),
            atom=f"{atom} ({atoms.symbols[atom]})",
        )
    return kinds


def _gather(atoms: Atoms, kinds: np.ndarray, selected: np.ndarray, cutoff: float, first_atom: int, number: int) -> dict:
    """Neighbours of the selected atoms of one structure, one row per centre, all as long as the longest."""
    pairs = neighbour_pairs(atoms, selected, cutoff)
    row, column = pairs.row, pairs.column
    shape = (len(selected), int(pairs.count.max(initial=0)))
    part = {
        "neighbour": np.full(shape, first_atom, dtype=np.int32),
        "shift": np.zeros((*shape, 3)),
        "neighbour_species": np.zeros(shape, dtype=np.int32),
        "mask": np.zeros(shape, dtype=bool),
    }
    part["neighbour"][row, column] = pairs.neighbour + first_atom
    part["shift"][row, column] = pairs.shift
    part["neighbour_species"][row, column] = kinds[pairs.neighbour]
    part["mask"][row, column] = True
    part["centre"] = (selected + first_atom).astype(np.int32)
    part["structure"] = np.full(len(selected), number, dtype=np.int32)
    part["centre_species"] = kinds[selected].astype(np.int32)
    return part
