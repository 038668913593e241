"""What is known of tensors before any is learned: sizes by element, and the sign that bonds give them.

The ranges are wide: they hold what is common in solids and molecules, from hydrogen bonds to terminal atoms. They were
drawn by hand around the coupling constants and shifts in K. J. D. MacKenzie and M. E. Smith, Multinuclear Solid-State
NMR of Inorganic Materials (Pergamon 2002), for halogens and pnictogens also E. A. C. Lucken, Nuclear Quadrupole
Coupling Constants (Academic Press 1969), with |V_zz|[V/Å²] = C_Q[MHz] / (2.418e-3 |Q|[mb]); for H, C, F, Si, P and Sn,
whose stable nuclei have no quadrupole moment or a small one, around first-principles tensors. Absolute shieldings are
those of the usual references (for ¹³C A. K. Jameson and C. J. Jameson, Chem. Phys. Lett. 134 (1987) 461) minus shifts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from jaxtyping import Float

from efg_jax.auditing.findings import Finding
from efg_jax.auditing.sources import Entry
from efg_jax.structures.neighbour_lists import neighbour_pairs
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT


class Prior(NamedTuple):
    """What is usual for an element.

    Attributes:
        v_zz: range of the median |V_zz| of a set of structures, V/Å².
        shielding: range of the absolute isotropic shielding, ppm; None: not checked.
        shift: range of the isotropic shift, ppm.
    """

    v_zz: tuple[float, float]
    shielding: tuple[float, float] | None = None
    shift: tuple[float, float] | None = None


PRIORS = {
    "H": Prior((7, 120), (12, 50), (-6, 22)),
    "Li": Prior((0.1, 8), (80, 105), (-8, 8)),
    "Be": Prior((1, 20)),
    "B": Prior((1, 45)),
    "C": Prior((4, 110)),
    "N": Prior((4, 140)),
    "O": Prior((8, 260)),
    "F": Prior((15, 350)),
    "Na": Prior((0.7, 60), (400, 660), (-90, 60)),
    "Mg": Prior((0.7, 60), (480, 640), (-40, 60)),
    "Al": Prior((0.8, 80), (380, 640), (-60, 130)),
    "Si": Prior((2, 110), (240, 560), (-220, 80)),
    "P": Prior((2, 150)),
    "S": Prior((8, 400)),
    "Cl": Prior((2, 480), (150, 1250), None),
    "K": Prior((1, 60), (1000, 1500), (-80, 120)),
    "Ca": Prior((1, 80), (950, 1400), (-80, 150)),
    "Sc": Prior((3, 160)),
    "Ti": Prior((4, 150)),
    "V": Prior((4, 250)),
    "Ga": Prior((4, 180)),
    "Ge": Prior((4, 180)),
    "As": Prior((4, 500)),
    "Se": Prior((8, 700)),
    "Br": Prior((5, 1400)),
    "Rb": Prior((3, 220)),
    "Sr": Prior((3, 160)),
    "Y": Prior((4, 200)),
    "Zr": Prior((7, 350)),
    "Nb": Prior((7, 400)),
    "Mo": Prior((7, 500)),
    "Sn": Prior((7, 600), (1900, 4200), (-2500, 1500)),
    "Sb": Prior((10, 800)),
    "I": Prior((8, 2500)),
    "Cs": Prior((2, 250)),
    "Ba": Prior((3, 300)),
    "La": Prior((8, 350)),
}

FACTORS = {
    "atomic units, not V/Å²": 1.0 / V_PER_ANGSTROM2_PER_ATOMIC_UNIT,
    "V/Å² that were taken for atomic units and converted": V_PER_ANGSTROM2_PER_ATOMIC_UNIT,
    "10²¹ V/m², not V/Å²": 0.1,
    "V/m², not V/Å²": 1e20,
}
"""Units of a field gradient by what the numbers become in them."""

SURE, LIKELY = 0.3, 0.1  # decades outside of the usual range, summed over the elements
IMPOSSIBLE = 1.5  # decades by which every element is outside
FRACTION = 0.05  # ppm: no nucleus has so small a shielding that the median of a set could be below
LEAST_SITES = 3

# Sign of V along bonds. The neighbours' cores make it positive at H, and so do the p shells of F, Cl and O, which lack
# density along the bond; bonds of C and Si put density there, and so do anions around a metal ion.
ALONG_BONDS = {"H": 1, "F": 1, "Cl": 1, "Br": 1, "I": 1, "O": 1} | dict.fromkeys(
    ("C", "Si", "Li", "Na", "K", "Rb", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La", "Ti", "Zr", "Hf", "Nb", "Sn"), -1
)
CERTAIN = ("H", "F", "Cl")
OXYGEN_OF = ("H", "B", "C", "N", "Al", "Si", "P", "S", "Ge")  # the sign at O is as clear only without other neighbours
BONDED = 1.3  # times the sum of covalent radii
CLEAR = 0.55  # correlation of tensors with those of the bonds that counts


def unit_findings(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], target: str) -> list[Finding]:
    """Whether the sizes of the tensors in one file are those of their elements.

    Args:
        entries: structures of the file.
        labels: (atoms, 3, 3) of each, NaN or None where there are none.
        target: "efg" or "ms".
    """
    by_element = _by_element(entries, labels)
    place = {"file": entries[0].file, "frame": entries[0].frame if len(entries) == 1 else None}
    return (_efg_unit if target == "efg" else _shielding_scale)(by_element, place)


def _by_element(entries, labels) -> dict[str, np.ndarray]:
    rows: dict[str, list] = {}
    for entry, tensors in zip(entries, labels, strict=True):
        if tensors is not None:
            for symbol, tensor in zip(entry.atoms.symbols, tensors, strict=True):
                if np.isfinite(tensor).all():
                    rows.setdefault(str(symbol), []).append(tensor)
    return {symbol: np.array(tensors) for symbol, tensors in rows.items()}


def _efg_unit(by_element: dict[str, np.ndarray], place: dict) -> list[Finding]:
    medians = {}
    for symbol, tensors in by_element.items():
        largest = np.abs(np.linalg.eigvalsh((tensors + tensors.swapaxes(1, 2)) / 2)).max(axis=1)
        largest = largest[largest > 1e-2 * largest.max(initial=1e-300)]  # without cubic sites
        if symbol in PRIORS and len(largest) >= LEAST_SITES:
            medians[symbol] = float(np.median(largest))

    def outside(factor: float) -> np.ndarray:
        """Decades by which each element lies outside its range."""
        logs = np.array([np.log10([median / factor, *PRIORS[symbol].v_zz]) for symbol, median in medians.items()])
        value, low, high = logs.reshape(-1, 3).T
        return np.maximum(np.maximum(low - value, value - high), 0.0)

    misfit = outside(1.0)
    if misfit.sum() < LIKELY:
        return []
    factor = min(FACTORS.values(), key=lambda one: outside(one).sum())
    explained = outside(factor).sum() < 0.3 * misfit.sum()
    sure = misfit.min() > IMPOSSIBLE or (explained and misfit.sum() > SURE and np.mean(misfit > 0) >= 0.5)
    name = next(name for name, one in FACTORS.items() if one == factor)
    sizes = ", ".join(
        f"{symbol} {median:.3g} (usual {PRIORS[symbol].v_zz[0]:g} to {PRIORS[symbol].v_zz[1]:g})"
        for symbol, median in medians.items()
    )
    evidence = f"median |V_zz| in V/Å²: {sizes}" + (f"; as if the numbers were in {name}" if explained else "")
    remedy = f"check the unit of the source; divide by {factor:.6g}" if explained else "check the unit of the source"
    return [Finding("units", "error" if sure else "warning", evidence, remedy, **place)]


def _shielding_scale(by_element: dict[str, np.ndarray], place: dict) -> list[Finding]:
    findings = []
    iso = {symbol: np.trace(rows, axis1=1, axis2=2) / 3 for symbol, rows in by_element.items()}
    small = [symbol for symbol, values in iso.items() if len(values) and np.median(abs(values)) < FRACTION]
    spread = {symbol: np.linalg.norm(rows, axis=(1, 2)).max() for symbol, rows in by_element.items()}
    if small and all(spread[symbol] < FRACTION * 20 for symbol in small):
        sizes = ", ".join(f"{symbol} {np.median(iso[symbol]):.3g}" for symbol in small)
        evidence = f"median shielding {sizes}: fractions, not ppm"
        return [Finding("units", "error", evidence, "multiply the tensors by 1e6", **place)]
    votes = []
    for symbol, values in iso.items():
        prior = PRIORS.get(symbol)
        if prior is None or prior.shielding is None:
            continue
        median, (low, high) = float(np.median(values)), prior.shielding
        if low <= median <= high:
            votes.append((symbol, median, prior, None))
        elif low <= -median <= high:
            votes.append((symbol, median, prior, "−σ"))
        elif prior.shift is not None and prior.shift[0] <= median <= prior.shift[1]:
            votes.append((symbol, median, prior, "δ"))
        elif low <= median * 1e-6 <= high or low <= median * 1e6 <= high:
            votes.append((symbol, median, prior, "unit"))
        else:
            votes.append((symbol, median, prior, "?"))
    for what, kind, severity, words, remedy in (
        ("δ", "sign", "error", "shifts δ, not shieldings σ", "learn σ: σ = σ_ref − δ, tensors included"),
        ("−σ", "sign", "error", "shieldings with the opposite sign", "multiply the tensors by −1"),
        ("unit", "units", "error", "shieldings in another unit than ppm", "convert them to ppm"),
        (
            "?",
            "scale",
            "warning",
            "no absolute shieldings of this element",
            "check the reference, and whether the contribution of the core electrons is included",
        ),
    ):
        of_this = [vote for vote in votes if vote[3] == what]
        if what == "−σ" and any(vote[3] == "?" for vote in votes):
            severity, words = "warning", "the opposite sign, or the contribution of the core electrons is missing"
        if of_this and (severity == "warning" or len(of_this) > len([vote for vote in votes if vote[3] is None])):
            sizes = ", ".join(
                f"{s} {m:.4g} ppm (usual {p.shielding[0]:g} to {p.shielding[1]:g})" for s, m, p, _ in of_this
            )
            findings.append(Finding(kind, severity, f"median σ_iso: {sizes}; {words}", remedy, **place))
    return findings


def bond_tensors(entry: Entry) -> Float[np.ndarray, "atoms 3 3"]:
    """Σ (3uuᵀ − 1)/r³ over the bonds of each atom, Å⁻³; zero at O with metals around it."""
    atoms, radii = entry.atoms, covalent_radii[entry.atoms.numbers]
    pairs = neighbour_pairs(atoms, np.arange(len(atoms)), BONDED * 2.0 * float(radii.max()))
    away = pairs.displacements(atoms)
    distance = np.linalg.norm(away, axis=1)
    i = pairs.centres[pairs.row]
    near = distance < BONDED * (radii[i] + radii[pairs.neighbour])
    away, distance, i = away[near], distance[near], i[near]
    bonds = np.zeros((len(atoms), 3, 3))
    metallic = ~np.isin(atoms.numbers[pairs.neighbour][near], [atomic_numbers[symbol] for symbol in OXYGEN_OF])
    terms = 3.0 * away[:, :, None] * away[:, None] / distance[:, None, None] ** 5
    np.add.at(bonds, i, terms - np.eye(3) / distance[:, None, None] ** 3)
    bonds[i[metallic & (atoms.symbols[i] == "O")]] = 0.0
    return bonds


def sign_findings(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], target: str) -> list[Finding]:
    """Whether the tensors of one file have the sign that bonds give them (of shieldings, at H only).

    Args:
        entries, labels, target: as for `unit_findings`.
    """
    sums: dict[str, np.ndarray] = {}
    for entry, tensors in zip(entries, labels, strict=True):
        if tensors is None:
            continue
        bonds = bond_tensors(entry)
        even = (tensors + tensors.swapaxes(1, 2)) / 2
        even = even - np.trace(even, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        usable = np.isfinite(even).all(axis=(1, 2))
        for symbol in set(entry.atoms.symbols) & set(ALONG_BONDS):
            own = usable & (entry.atoms.symbols == symbol)
            # Each atom counts alike: a few large tensors must not decide.
            sizes = np.linalg.norm(even[own], axis=(1, 2)) * np.linalg.norm(bonds[own], axis=(1, 2))
            own_terms = np.sum(even[own] * bonds[own], axis=(1, 2))[sizes > 1e-6] / sizes[sizes > 1e-6]
            sums[symbol] = sums.get(symbol, np.zeros(2)) + np.array([own_terms.sum(), len(own_terms)])
    place = {"file": entries[0].file, "frame": entries[0].frame if len(entries) == 1 else None}
    mean = {s: total / count for s, (total, count) in sums.items() if count >= LEAST_SITES}
    if target == "ms":
        mean = {s: value for s, value in mean.items() if s == "H"}
    clear = {s: value * ALONG_BONDS[s] for s, value in mean.items() if abs(value) > CLEAR}
    wrong = [s for s, value in clear.items() if value < 0]
    if not wrong or len(wrong) < len(clear):
        return []
    sure = any(s in CERTAIN for s in wrong) or len(wrong) > 1
    what = ", ".join(f"{s} {mean[s]:+.2f} (expected {'+' if ALONG_BONDS[s] > 0 else '−'})" for s in wrong)
    evidence = f"cosine between the tensors and those of the bonds: {what}; the sign is reversed"
    if target == "ms":
        return [Finding("sign", "error", evidence + ", as for shifts δ", "learn σ: σ = σ_ref − δ", **place)]
    remedy = "multiply by −1: V_ij = +∂²V/∂x_i∂x_j of the potential (docs/conventions.md)"
    return [Finding("sign", "error" if sure else "warning", evidence, remedy, **place)]


def index_order_findings(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], target: str) -> list[Finding]:
    """Whether the shieldings of one file are transposed, as H of water tells.

    With v the antisymmetric vector (v_z = (σ_xy − σ_yx)/2, cyclic) of an H and n along OH × OH′, v·n > 0 where the
    first index is the induced field: calculated for water by GIAO and GIPAW, free and in crystals.

    Args:
        entries, labels, target: as for `unit_findings`.
    """
    values = []
    for entry, tensors in zip(entries, labels, strict=True):
        if tensors is None or not {"O", "H"} <= set(entry.atoms.symbols):
            continue
        oxygens = np.flatnonzero(entry.atoms.symbols == "O")
        pairs = neighbour_pairs(entry.atoms, oxygens, 1.2)
        away, atom = pairs.displacements(entry.atoms), pairs.neighbour
        hydrogen = entry.atoms.symbols[atom] == "H"
        for row in range(len(oxygens)):
            own = np.flatnonzero(pairs.row == row)
            if len(own) == 2 and hydrogen[own].all():
                for first, second in (own, own[::-1]):
                    odd = (tensors[atom[first]] - tensors[atom[first]].T) / 2
                    normal = np.cross(away[first], away[second])
                    values.append(np.array([odd[1, 2], odd[2, 0], odd[0, 1]]) @ normal / np.linalg.norm(normal))
    values = np.array(values)[np.isfinite(values)] if values else np.zeros(0)
    if len(values) < 2 or np.median(values) > -0.1 or np.mean(values < 0) < 0.8:
        return []
    evidence = f"v·n of {len(values)} H of water has the median {np.median(values):.2f} ppm, and must be positive"
    remedy = "transpose the tensors: the first index is the induced field (docs/conventions.md)"
    place = {"file": entries[0].file, "frame": entries[0].frame if len(entries) == 1 else None}
    return [Finding("transposed", "error", evidence, remedy, **place)]
