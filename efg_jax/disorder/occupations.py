"""From atoms to occupations of a sublattice and back."""

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Int

from efg_jax.errors import InputError


def sublattice(atoms: Atoms, name: str) -> Int[np.ndarray, " sites"]:
    """Indices of the atoms on a sublattice.

    Raises:
        InputError: the atoms have no sites, or none is on this one.
    """
    if "site" not in atoms.arrays:
        raise InputError('the atoms have no sites; set atoms.arrays["site"], or use disorder.build_lto')
    sites = np.flatnonzero(atoms.arrays["site"] == name)
    if len(sites) == 0:
        raise InputError(f"no atom is on site {name}; there are {', '.join(sorted(set(atoms.arrays['site'])))}")
    return sites


def check_species(atoms: Atoms, species: tuple[str, str], name: str) -> None:
    """Check that a sublattice holds only these two species.

    Raises:
        InputError: it holds others, or the two are the same.
    """
    first, second = species
    if first == second:
        raise InputError(f"the two species are both {first}; nothing can be exchanged")
    other = sorted(set(np.asarray(atoms.symbols)[sublattice(atoms, name)]) - set(species))
    if other:
        raise InputError(f"site {name} also holds {', '.join(other)}, which is neither {first} nor {second}")


def occupation_of(atoms: Atoms, species: tuple[str, str], sublattice_name: str = "16d") -> Bool[np.ndarray, " sites"]:
    """Sites of the first species on a sublattice that both share, in the order of the atoms."""
    check_species(atoms, species, sublattice_name)
    return np.asarray(atoms.symbols)[sublattice(atoms, sublattice_name)] == species[0]


def occupied(
    atoms: Atoms, occupation: Bool[np.ndarray, " sites"], species: tuple[str, str], sublattice_name: str = "16d"
) -> Atoms:
    """The crystal with another arrangement of its two species."""
    arranged = atoms.copy()
    arranged.symbols[sublattice(atoms, sublattice_name)] = np.where(np.asarray(occupation), *species)
    return arranged
