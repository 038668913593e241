"""What is wrong with structures themselves: no geometry, sites of fractions of atoms, atoms that are missing."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from efg_jax.auditing.findings import Finding, of_error
from efg_jax.auditing.sources import Entry
from efg_jax.errors import InputError
from efg_jax.structures.checks import check_frames, name_atom
from efg_jax.structures.neighbour_lists import neighbour_pairs
from efg_jax.structures.occupancy import described, is_whole, occupancies

# Distances over the sum of covalent radii (Cordero et al. 2008, in ASE). Short bonds (H2, N2, O2, C≡C) are above 0.77;
# two positions of one disordered atom are nearer. Unlike atoms of strained cells come nearer than like ones.
OVERLAPPING, CLOSE, CLOSE_LIKE = 0.5, 0.62, 0.75
LACKING = 3  # atoms by which a frame may be short of its siblings
SAME_VOLUME = 0.05  # relative


def structure_findings(entries: Sequence[Entry]) -> tuple[list[Finding], list[bool]]:
    """Findings about geometry and disorder, and for each structure whether it can be used at all."""
    findings, usable = [], []
    for entry in entries:
        partial = _partial_sites(entry)
        findings += partial
        try:
            ordered = entry.atoms.copy()
            ordered.info.pop("occupancy", None)
            for name in ("occupancy", "occupancies"):
                ordered.arrays.pop(name, None)
            check_frames(ordered)
        except InputError as error:
            findings.append(of_error(error, "geometry", **entry.place))
            usable.append(False)
            continue
        findings += _close_atoms(entry)
        usable.append(not partial)
    return findings + _vacancies([entry for entry, use in zip(entries, usable, strict=True) if use]), usable


def _partial_sites(entry: Entry) -> list[Finding]:
    """Sites that are not occupied by one whole atom."""
    try:
        sites = occupancies(entry.atoms)
    except InputError as error:
        return [of_error(error, "occupancy", **entry.place)]
    return [
        Finding(
            "occupancy",
            "error",
            f"the site of {name_atom(entry.atoms, i)} is occupied by {described(site)}, but the structure has one "
            "whole atom there",
            "build ordered cells (efg-jax order), compute their tensors, and learn from these",
            **entry.place,
            atom=i,
        )
        for i, site in enumerate(sites)
        if not is_whole(site)
    ]


def _close_atoms(entry: Entry) -> list[Finding]:
    atoms = entry.atoms
    radii = covalent_radii[atoms.numbers]
    pairs = neighbour_pairs(atoms, np.arange(len(atoms)), CLOSE_LIKE * 2.0 * float(radii.max()))
    distance = np.linalg.norm(pairs.displacements(atoms), axis=1)
    i, j = pairs.centres[pairs.row], pairs.neighbour
    ratio = distance / (radii[i] + radii[j])
    findings = []
    limit = np.where(atoms.numbers[i] == atoms.numbers[j], CLOSE_LIKE, CLOSE)
    for k in np.flatnonzero((ratio < limit) & (i <= j)):
        findings.append(
            Finding(
                "disorder",
                "error" if ratio[k] < OVERLAPPING else "warning",
                f"{name_atom(atoms, int(i[k]))} and {name_atom(atoms, int(j[k]))} are {distance[k]:.2f} Å apart, "
                f"{ratio[k]:.2f} of the sum of their covalent radii",
                "keep one of two alternative positions (disorder in the CIF), or check the positions",
                **entry.place,
                atom=int(i[k]),
            )
        )
    return findings


def _vacancies(entries: Sequence[Entry]) -> list[Finding]:
    """Crystals that are short of a few atoms of one element, or have a few more, among siblings of the same volume."""
    groups: dict[tuple, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.atoms.pbc.all():
            groups[tuple(sorted(set(entry.atoms.symbols)))].append(entry)
    findings = []
    for group in groups.values():
        totals = Counter(len(entry.atoms) for entry in group)
        usual, often = totals.most_common(1)[0]
        if len(group) < 5 or often < WHOLE_GROUP * len(group):
            continue
        volume = np.median([entry.atoms.get_volume() for entry in group if len(entry.atoms) == usual])
        counts = Counter(str(entry.atoms.symbols.formula.count()) for entry in group if len(entry.atoms) == usual)
        for entry in group:
            short = usual - len(entry.atoms)
            if 0 < abs(short) <= LACKING and abs(entry.atoms.get_volume() / volume - 1.0) < SAME_VOLUME:
                what = f"{short} fewer" if short > 0 else f"{-short} more"
                findings.append(
                    Finding(
                        "disorder",
                        "warning",
                        f"{what} atoms than the {often} other cells of this volume ({len(entry.atoms)}, not {usual}; "
                        f"usual: {counts.most_common(1)[0][0]})",
                        "a vacancy or an interstitial: check that the tensors were computed for this very cell",
                        **entry.place,
                    )
                )
    return findings


WHOLE_GROUP = 0.8  # part of the siblings that must agree on a number of atoms
