"""Energy of two species on one sublattice as a quadratic form of the occupations, made for Monte Carlo steps."""

from collections.abc import Mapping
from itertools import combinations
from math import comb

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Bool, Float

from efg_jax.disorder.occupations import check_species, sublattice
from efg_jax.electrostatics.ewald import COULOMB, ewald_matrix, ewald_potential
from efg_jax.errors import InputError
from efg_jax.precision import x64

MOST_ENUMERATED = 2_000_000


class LatticeGas(eqx.Module):
    """E(x) = constant + h·x + ½ xᵀ W x in eV, where x is 1 on sites of the first species and 0 on those of the second.

    Attributes:
        constant: energy with the second species on all sites.
        field: h, (sites,).
        pair: W, (sites, sites), symmetric.
    """

    constant: Float[Array | np.ndarray, ""]
    field: Float[Array | np.ndarray, " sites"]
    pair: Float[Array | np.ndarray, "sites sites"]

    @property
    def sites(self) -> int:
        """Number of sites."""
        return self.field.shape[0]

    def energy(self, occupation: Bool[Array | np.ndarray, "*batch sites"]) -> Float[Array, "*batch"]:
        """Energy of arrangements, eV, computed in float64."""
        with x64():
            x = jnp.asarray(occupation).astype(self.field.dtype)
            pair = jnp.einsum("...i,ij,...j->...", x, jnp.asarray(self.pair), x)
            return jnp.asarray(self.constant) + x @ jnp.asarray(self.field) + 0.5 * pair


def lattice_gas(
    atoms: Atoms,
    species: tuple[str, str],
    charges: Mapping[str, float],
    dielectric: float = 1.0,
    sublattice_name: str = "16d",
) -> LatticeGas:
    """Electrostatic energy of a crystal as a function of the arrangement of two species on a sublattice.

    Args:
        atoms: crystal with ``arrays["site"]``, as from `disorder.build_lto`; all arrangements have its positions.
        species: the two species; occupations count the first.
        charges: formal charge of every element, e.
        dielectric: ε, by which all energies are divided. Unscreened formal charges (1) freeze the arrangement at any
            temperature at which the crystal exists; relaxing ions and polarising electrons screen them.
        sublattice_name: the value of ``arrays["site"]`` on the sublattice.

    Raises:
        InputError: an element has no charge; the crystal is not neutral or not periodic; the sublattice holds others
            than the two species.
    """
    if not dielectric > 0:
        raise InputError(f"dielectric is not positive: {dielectric!r}")
    check_species(atoms, species, sublattice_name)
    absent = sorted(set(atoms.symbols) - charges.keys())
    if absent:
        raise InputError(f"no charge is given for {', '.join(absent)}; add it to charges")
    if not atoms.pbc.all():
        raise InputError("the crystal is not periodic in three directions; set atoms.pbc = True")
    every = np.array([float(charges[symbol]) for symbol in atoms.symbols])
    if abs(every.sum()) > 1e-9:
        raise InputError(
            f"the charges add up to {every.sum():+g} e, and a charged crystal has no defined energy; "
            "change the composition or the charges"
        )
    sites = sublattice(atoms, sublattice_name)
    fixed = every.copy()
    fixed[sites] = 0.0
    first, second = (float(charges[symbol]) for symbol in species)
    scale = COULOMB / dielectric
    matrix = ewald_matrix(atoms, sites)
    outside = ewald_potential(atoms, sites, fixed)
    others = np.flatnonzero(fixed)
    own = 0.5 * fixed[others] @ ewald_potential(atoms, others, fixed)
    all_second = np.full(len(sites), second)
    potential = outside + matrix @ all_second
    constant = own + all_second @ outside + 0.5 * all_second @ matrix @ all_second
    return LatticeGas(
        np.asarray(scale * constant), scale * (first - second) * potential, scale * (first - second) ** 2 * matrix
    )


def enumerate_occupations(sites: int, occupied: int) -> Bool[np.ndarray, "arrangements sites"]:
    """All ways to put a number of atoms on a number of sites.

    Raises:
        InputError: there are more than two million.
    """
    count = comb(sites, occupied)
    if count > MOST_ENUMERATED:
        raise InputError(
            f"{occupied} atoms on {sites} sites can be arranged in {count:.2g} ways, too many to enumerate; "
            "sample them with metropolis"
        )
    chosen = np.array(list(combinations(range(sites), occupied)), dtype=int).reshape(count, occupied)
    arrangements = np.zeros((count, sites), dtype=bool)
    arrangements[np.arange(count)[:, None], chosen] = True
    return arrangements
