"""Conditions of a spectrum: field, spinning, transitions, order; checked before anything is computed."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from efg_jax.errors import InputError
from efg_jax.tensors.nuclei import Isotope

Transitions = Literal["central", "all"]
Method = Literal["perturbation", "exact"]
EARTH, LARGEST = 1e-2, 200.0  # T: below it nothing is high-field NMR, above it somebody gave MHz


@dataclass(frozen=True)
class Conditions:
    """Conditions of a spectrum.

    Attributes:
        field: magnetic field, T.
        spinning: about the magic angle: 0 static, a rate in Hz, or infinity.
        transitions: "central" (m = ½ ↔ −½) or "all" single-quantum transitions.
        order: of the quadrupolar interaction: 1, or 2 for second order as well.
        method: "perturbation" theory of that order, or "exact" diagonalisation of the Hamiltonian.
        csa: whether the anisotropy of the shift counts; its isotropic value always does.
        efg: whether the quadrupolar interaction counts.
    """

    field: float
    spinning: float = 0.0
    transitions: Transitions = "central"
    order: int = 2
    csa: bool = True
    efg: bool = True
    method: Method = "perturbation"

    @property
    def mode(self) -> Literal["static", "finite", "infinite"]:
        """How the sample spins."""
        if self.spinning == 0.0:
            return "static"
        return "infinite" if math.isinf(self.spinning) else "finite"


def conditions(
    nucleus: Isotope,
    *,
    field: float | int,
    spinning: float | int = 0.0,
    transitions: Transitions | None = None,
    order: int = 2,
    csa: bool = True,
    efg: bool = True,
    method: Method = "perturbation",
) -> Conditions:
    """Conditions, checked against each other and the nucleus.

    Args:
        nucleus: isotope.
        field: T.
        spinning: 0, Hz, or infinity.
        transitions: "central", "all", or None: the central one of spins 1/2, 3/2, ..., and all of integer spins, which
            have no central one.
        order: 1 or 2.
        csa, efg, method: see `Conditions`.

    Raises:
        InputError: a value out of its range, the central transition of an integer spin, or exact diagonalisation of a
            spinning sample or to first order.
    """
    if not (math.isfinite(field) and field > 0.0):
        raise InputError(f"a field of {field:g} T is not a magnetic field; give tesla, as 14.1")
    if not EARTH <= field <= LARGEST:
        raise InputError(f"a field of {field:g} T is outside the range of magnets; give tesla (14.1), not MHz or gauss")
    if not spinning >= 0.0:
        raise InputError(f"a spinning rate of {spinning:g} Hz has no meaning; give 0 (static), a rate in Hz, or inf")
    if order not in (1, 2):
        raise InputError(f"order = {order} is unknown; give 1 (first order) or 2 (first and second)")
    if method not in get_args(Method):
        raise InputError(f"method = {method!r} is unknown; give 'perturbation' or 'exact'")
    if method == "exact" and spinning != 0.0:
        raise InputError(
            "exact diagonalisation is for static samples; take spinning=0 (command line: --spinning static), or "
            "method='perturbation' (command line: --method perturbation)"
        )
    if method == "exact" and order != 2:
        raise InputError(
            f"order = {order} is one of perturbation theory, and method='exact' has all orders; leave one of them out"
        )
    half_integer = not float(nucleus.spin).is_integer()
    transitions = transitions or ("central" if half_integer else "all")
    if transitions not in ("central", "all"):
        raise InputError(f"transitions = {transitions!r} is unknown; give 'central' or 'all'")
    if transitions == "central" and not half_integer:
        raise InputError(
            f"{nucleus} has spin {nucleus.spin:g}, and integer spins have no central transition; take transitions='all'"
        )
    if efg and nucleus.is_quadrupolar:
        nucleus.require_quadrupole()
    quadrupolar = efg and nucleus.is_quadrupolar
    return Conditions(float(field), float(spinning), transitions, int(order), csa, quadrupolar, method)
