"""Sensitivity of a measured quantity of one atom to every position and to strain."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.models.protocol import FittedModel
from efg_jax.sensitivity.derivatives import tensor_derivatives
from efg_jax.sensitivity.differentiation import KinkDistance, differentiate
from efg_jax.sensitivity.internal_coordinates import Cluster, internal_coordinates
from efg_jax.sensitivity.sensitivity_result import Sensitivity
from efg_jax.structures.crystal_frame import unit_direction
from efg_jax.tensors.nuclei import Isotope, Nuclei, default_quadrupolar_isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.quantities import Context

BOND_SCALE = 1.25
"""Times the sum of two covalent radii: Si–O bonds up to 2.2 Å, Li–O up to 2.4 Å, and no Si–Si."""


def gradient(
    fitted: FittedModel,
    atoms: Atoms,
    atom: int,
    quantity: str | None = None,
    *,
    isotope: Isotope | str | None = None,
    direction: Sequence[float | int] | Float[np.ndarray, "3"] | None = None,
    reference: float | int | None = None,
    shells: int = 2,
    bond_scale: float = BOND_SCALE,
) -> Sensitivity:
    """Exact derivatives of a quantity of one atom with respect to all positions and to strain, from a model.

    Near a kink of the quantity (η at 0, V_zz and η at η = 1) the gradient is exact, but holds for small displacements
    only: `Sensitivity.reach` says how small. On the kink there is none; the error says what to ask for instead.

    Args:
        fitted: a model of EFG or shielding, see `tensor_derivatives`.
        atoms: structure.
        atom: index of the atom whose quantity it is.
        quantity: any of `efg_jax.tensors.QUANTITIES` but angles: of an EFG "c_q", "p_q", "nu_q" (Hz), "v_zz" (V/Å²),
            "eta", "eta_squared", ...; of a shielding "sigma_iso", "delta_iso", "span", "anisotropy" (ppm), "skew",
            "eta", .... None: "c_q" ("v_zz" for an element without quadrupolar isotope), or "sigma_iso".
        isotope: nucleus; None: the one that NMR uses.
        direction: of the field, for "nu_q"; fixed in space, whatever the strain.
        reference: σ_ref in ppm, for "delta_iso".
        shells: 1: bonds and angles at the atom; 2: at its neighbours, too.
        bond_scale: atoms nearer than this times the sum of their covalent radii are bonded.

    Raises:
        InputError: a model of another target; not one structure; no such atom; an unknown quantity; a missing isotope,
            direction or reference; a quantity on its kink.
    """
    if shells < 1 or not bond_scale > 0:
        raise InputError(f"shells = {shells} and bond_scale = {bond_scale} must be positive")
    found = tensor_derivatives(fitted, atoms, atom)
    kind = "efg" if fitted.tensor_target().is_efg else "ms"
    nucleus = _nucleus(isotope, str(atoms.symbols[atom])) if kind == "efg" else None
    default = "sigma_iso" if kind == "ms" else "v_zz" if nucleus is None else "c_q"
    context = Context(
        None if nucleus is None else Nuclei.of([nucleus]),
        None if reference is None else float(reference),
        None if direction is None else unit_direction(direction),
    )
    number = differentiate(kind, quantity or default, found.tensor, context)
    slopes = np.einsum("ij,ijkc->kc", number.slope, found.gradient)
    cluster = _cluster(atoms, atom, found.neighbour, found.displacement)
    in_cluster = np.concatenate([-slopes.sum(axis=0, keepdims=True), slopes])
    internal, missing = internal_coordinates(cluster, in_cluster, shells, float(bond_scale))
    positions = found.to_positions(slopes, atom, len(atoms))
    reaches = {_reach(kink, found.gradient): kink.kink.near for kink in number.kinks}
    reach = min(reaches, default=float("inf"))
    return Sensitivity(
        atoms=atoms.copy(),
        atom=atom,
        quantity=number,
        isotope=nucleus,
        tensor=found.tensor,
        positions=positions,
        strain=found.to_strain(slopes),
        cluster=cluster,
        cluster_gradient=in_cluster,
        internal=tuple(internal),
        missing=missing,
        reach=reach,
        at_kink=reaches.get(reach, ""),
    )


def _reach(kink: KinkDistance, gradient: Float[np.ndarray, "3 3 neighbours 3"]) -> float:
    """Å by which the most sensitive neighbour may move before the quantity meets the kink, to first order."""
    slopes = np.einsum("ij,ijkc->kc", kink.slope, gradient)
    largest = float(np.linalg.norm(slopes, axis=1).max(initial=0.0))
    return kink.distance / largest if largest > 0.0 else float("inf")


def _cluster(atoms: Atoms, atom: int, neighbour: np.ndarray, displacement: np.ndarray) -> Cluster:
    order = np.argsort(np.linalg.norm(displacement, axis=1), kind="stable")
    images: dict[int, int] = {atom: 1}
    primes = np.zeros(len(order), dtype=int)
    for k in order.tolist():  # the nearest image has no prime
        primes[k] = images.get(int(neighbour[k]), 0)
        images[int(neighbour[k])] = primes[k] + 1
    symbols = [str(atoms.symbols[i]) for i in (atom, *neighbour.tolist())]
    names = [f"{atoms.symbols[atom]}{atom}"]
    names += [f"{atoms.symbols[i]}{i}{'′' * int(p)}" for i, p in zip(neighbour.tolist(), primes, strict=True)]
    return Cluster(symbols, names, np.concatenate([np.zeros((1, 3)), displacement]))


def _nucleus(isotope: Isotope | str | None, symbol: str) -> Isotope | None:
    if isotope is None:
        return default_quadrupolar_isotope(symbol)
    nucleus = find_isotope(isotope)
    if nucleus.symbol != symbol:
        raise InputError(f"{nucleus} is no isotope of {symbol}; choose one of {symbol}, or another atom")
    nucleus.require_quadrupole()
    return nucleus
