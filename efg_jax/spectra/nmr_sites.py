"""NMR sites of structures: the tensors of all nuclei of one isotope."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.observables.arrays import shift_tensors, values_of
from efg_jax.spectra.fluctuations import Fluctuations
from efg_jax.structures.checks import symmetric_tensors
from efg_jax.structures.declared_units import check_units
from efg_jax.structures.occupancy import check_occupancy
from efg_jax.structures.site_selection import check_indices, each, listed
from efg_jax.structures.targets import KNOWN, find, place_of, shaped
from efg_jax.tensors.nuclei import Isotope, Nuclei
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.quantities import QUANTITIES, Context

ANGLES = ("alpha", "beta", "gamma")
CSA = tuple(QUANTITIES["shift"][name] for name in ("delta_iso", "zeta", "eta", *ANGLES))
QUADRUPOLAR = tuple(QUANTITIES["efg"][name] for name in ("c_q", "eta", *ANGLES))


class Site(NamedTuple):
    """One site in numbers: frequencies in Hz, shifts in ppm, angles in rad.

    Attributes:
        frame, atom: where it comes from.
        count: number of nuclei that it stands for.
        shift: isotropic chemical shift δ_iso.
        zeta, eta_csa: reduced anisotropy ζ = σ_zz − σ_iso of the *shielding* (−ζ of the shift) and its asymmetry,
            Haeberlen order.
        euler_csa: passive ZYZ angles of its Haeberlen axes.
        c_q, eta_q: quadrupolar coupling constant and asymmetry.
        euler_q: passive ZYZ angles of the EFG's axes in Haeberlen order (x and y exchanged with respect to NQR order).
    """

    frame: int
    atom: int
    count: float
    shift: float
    zeta: float
    eta_csa: float
    euler_csa: tuple[float, float, float]
    c_q: float
    eta_q: float
    euler_q: tuple[float, float, float]


@dataclass(frozen=True)
class Sites:
    """The nuclei of one isotope, as tensors in the Cartesian frame of their structures.

    Attributes:
        isotope: nucleus.
        efg: V, V/Å², symmetric and traceless; None where the field gradient is left out.
        shift: chemical shift tensors δ, ppm, symmetric.
        count: number of nuclei that each site stands for.
        frame, atom: number of the structure, and of the atom in it, from 0.
        fluctuations: how the tensors move about the mean ones that these then are; None where that is not known.
    """

    isotope: Isotope
    efg: Float[np.ndarray, "sites 3 3"] | None
    shift: Float[np.ndarray, "sites 3 3"]
    count: Float[np.ndarray, " sites"]
    frame: Int[np.ndarray, " sites"]
    atom: Int[np.ndarray, " sites"]
    fluctuations: Fluctuations | None = None

    def __len__(self) -> int:
        return len(self.count)

    def __iter__(self) -> Iterator[Site]:
        """The sites one by one, in principal values and angles."""
        count = len(self)
        context = Context(Nuclei.of([self.isotope] * count), axes="haeberlen", passive=True)
        shift, zeta, eta_csa, *euler_csa = values_of(CSA, context, shift=self.shift)
        c_q, eta_q, *euler_q = [np.zeros(count)] * 5
        if self.efg is not None:
            c_q, eta_q, *euler_q = values_of(QUADRUPOLAR, context, efg=self.efg)
        columns = (shift, -zeta, eta_csa, np.stack(euler_csa, axis=1), c_q, eta_q, np.stack(euler_q, axis=1))
        for k, row in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
            numbers = (tuple(entry) if isinstance(entry, list) else entry for entry in row)
            yield Site(int(self.frame[k]), int(self.atom[k]), float(self.count[k]), *numbers)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names for tables and pictures, "O4", with the frame before it where there are several, "2:O4"; "×8" for
        merged ones.
        """
        several = len(np.unique(self.frame)) > 1
        names = []
        for frame, atom, count in zip(self.frame, self.atom, self.count, strict=True):
            prefix = f"{frame}:" if several else ""
            names.append(f"{prefix}{self.isotope.symbol}{atom}" + (f" ×{count:g}" if count != 1.0 else ""))
        return tuple(names)

    @property
    def isotropic_shift(self) -> Float[np.ndarray, " sites"]:
        """δ_iso, ppm."""
        return values_of([QUANTITIES["shift"]["delta_iso"]], shift=self.shift)[0]

    def select(self, rows: Int[np.ndarray, " some"], count: Float[np.ndarray, " some"] | None = None) -> "Sites":
        """Some of the sites, with other counts if they are given."""
        efg = None if self.efg is None else self.efg[rows]
        own = {name: getattr(self, name)[rows] for name in ("shift", "frame", "atom")}
        moved = None if self.fluctuations is None else Fluctuations(*(part[rows] for part in self.fluctuations))
        return replace(self, efg=efg, count=self.count[rows] if count is None else count, fluctuations=moved, **own)


def sites(
    atoms: Atoms | Sequence[Atoms],
    isotope: Isotope | str,
    *,
    reference: float | int | None = None,
    shift: float | int | None = None,
    efg: str | None = "efg",
    shielding: str = "ms",
    indices: Sequence[int] | None = None,
) -> Sites:
    """Sites of all nuclei of one isotope, from tensors of any origin: first principles, a model's prediction, an
    average over a trajectory.

    The shielding needs a reference, σ_ref, computed as σ was: there is no default. To do without shielding, say so by
    giving ``shift``.

    Args:
        atoms: structure or structures with per-atom arrays, (n, 3, 3) or (n, 9).
        isotope: nucleus; its element chooses the atoms.
        reference: shielding σ_ref of the reference compound, ppm; δ = (σ_ref − σ)/(1 − 10⁻⁶ σ_ref).
        shift: instead of a reference: one isotropic shift for all sites, ppm, without anisotropy; the shielding is not
            looked at.
        efg: name of the array of EFG tensors, V/Å²; None leaves them out. Not looked at for nuclei of spin 1/2. Mean
            tensors have their fluctuations beside them, "efg_fluctuation" (`TrajectoryAverage.to_atoms`).
        shielding: name of the array of shielding tensors, ppm.
        indices: atoms of every structure to take, numbered from 0; None: all of the element.

    Raises:
        InputError: neither reference nor shift (or both), no atoms of the element, no tensors of them, or tensors that
            are not finite or (EFG) not symmetric and traceless.
    """
    nucleus = find_isotope(isotope)
    frames = list(each(atoms))
    _check_reference(nucleus, reference, shift, frames, shielding)
    rows = [_selected(frame, number, nucleus, indices) for number, frame in enumerate(frames)]
    if not any(len(row) for row in rows):
        present = sorted({symbol for frame in frames for symbol in frame.symbols})
        among = "" if indices is None else " among the chosen indices"
        raise InputError(
            f"no {nucleus.symbol} atoms for {nucleus}{among}; the structures contain {', '.join(present) or 'nothing'}"
        )
    gradients = efg if nucleus.is_quadrupolar else None
    pairs = [(number, frame, row) for number, (frame, row) in enumerate(zip(frames, rows, strict=True)) if len(row)]
    tensors = None if gradients is None else np.concatenate([_efg(*pair, gradients) for pair in pairs])
    if shift is not None:
        shifts = np.tile(float(shift) * np.eye(3), (sum(map(len, rows)), 1, 1))
    else:
        shifts = np.concatenate([_shifts(*pair, shielding, float(reference)) for pair in pairs])
    frame_numbers = np.concatenate([np.full(len(row), number) for number, _, row in pairs])
    atom_numbers = np.concatenate([row for *_, row in pairs])
    moved = None if gradients is None else _fluctuations(pairs, f"{gradients}_fluctuation")
    return Sites(nucleus, tensors, shifts, np.ones(len(atom_numbers)), frame_numbers, atom_numbers, moved)


def _check_reference(
    nucleus: Isotope, reference: float | int | None, shift: float | int | None, frames: Sequence[Atoms], name: str
) -> None:
    if not frames:
        raise InputError("there are no structures; a spectrum needs at least one")
    if reference is not None and shift is not None:
        raise InputError(
            "both a reference and a shift were given; give reference (σ_ref) to use the shielding, shift to do without"
        )
    if reference is None and shift is None:
        there = any(find(atoms, name, "atom") is not None for atoms in frames)
        shielding = f"the shielding '{name}' is there" if there else f"there is no shielding '{name}'"
        raise InputError(
            f"{shielding}, and no reference was given for {nucleus}: pass reference=σ_ref in ppm (computed as the "
            "shielding "
            "was), or shift=0.0 for a spectrum without shielding (command line: --reference, --shift)"
        )
    for value, what in ((reference, "reference"), (shift, "shift")):
        if value is not None and not np.isfinite(value):
            raise InputError(f"a {what} of {value:g} ppm has no meaning; give a number")


def _selected(atoms: Atoms, number: int, nucleus: Isotope, indices: Sequence[int] | None) -> Int[np.ndarray, " chosen"]:
    own = np.flatnonzero(np.asarray(atoms.symbols) == nucleus.symbol)
    if indices is None:
        return own
    wanted = listed(indices)
    check_indices(wanted, atoms, number)
    return np.intersect1d(own, wanted)


def _tensors(
    number: int, atoms: Atoms, row: np.ndarray, name: str, target: str, mend: str
) -> Float[np.ndarray, "chosen 3 3"]:
    found = find(atoms, name, "atom")
    if found is None:
        there = ", ".join(sorted(set(atoms.arrays) - {"numbers", "positions"})) or "no arrays of tensors"
        raise InputError(f"has no '{name}' tensors, but {there}; {mend}", **place_of(atoms, number))
    check_units(atoms, number, name, target)
    check_occupancy(atoms, number)
    values = shaped(found[1], name, "atom", "matrix", atoms, number)[1][row]
    missing = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
    if len(missing):
        atom = int(row[missing[0]])
        raise InputError(
            f"has no '{name}' tensor (NaN), like {len(missing)} of {len(row)} {atoms.symbols[atom]} atoms here; "
            "predict "
            "or compute it, or choose atoms that have one with indices (command line: --indices)",
            atom=f"{atom} ({atoms.symbols[atom]})",
            **place_of(atoms, number),
        )
    return values


def _efg(number: int, atoms: Atoms, row: np.ndarray, name: str) -> Float[np.ndarray, "chosen 3 3"]:
    mend = "predict or compute them, name their array with efg=..., or leave the field gradient out with efg=False"
    values = _tensors(number, atoms, row, name, "efg", mend)
    return symmetric_tensors(values, name, KNOWN["efg"], atoms, number, row)


def _fluctuations(pairs: Sequence[tuple[int, Atoms, np.ndarray]], name: str) -> Fluctuations | None:
    """Fluctuations of the field gradients where all structures have them."""
    if not all(name in atoms.arrays for _, atoms, _ in pairs):
        return None
    rows = []
    for number, atoms, row in pairs:
        parts = np.asarray(atoms.arrays[name][row])
        if parts.dtype.kind != "f" or parts[0].size % 9 or not np.isfinite(parts).all():
            raise InputError(
                f"'{name}' does not hold 3 × 3 tensors of finite numbers for all {atoms.symbols[row[0]]} atoms; "
                "average the trajectory again, or remove it",
                **place_of(atoms, number),
            )
        rows.append(parts.reshape(len(row), -1, 3, 3))
    width = max(part.shape[1] for part in rows)
    parts = np.concatenate([np.pad(part, [(0, 0), (0, width - part.shape[1]), (0, 0), (0, 0)]) for part in rows])
    return Fluctuations(parts, np.zeros_like(parts))


def _shifts(number: int, atoms: Atoms, row: np.ndarray, name: str, reference: float) -> Float[np.ndarray, "n 3 3"]:
    mend = "a reference was given for them: predict or compute them, or pass shift=0.0 instead of the reference"
    values = _tensors(number, atoms, row, name, "ms", mend)
    shifts = shift_tensors(values, reference)
    return 0.5 * (shifts + shifts.swapaxes(1, 2))
