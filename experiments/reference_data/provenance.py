"""How a result was made, as every frame says it in its info."""

import numpy as np
from ase import Atoms

from experiments.reference_data.materials import MATERIALS
from experiments.reference_data.molecules.level import PROVENANCE_OF_MOLECULES, provenance_of_molecules
from experiments.reference_data.molecules.structures import KIND as MOLECULES

PROVENANCE = ("code", "xc", "ecut_eV", "kpts", "setups", "smearing_eV")


def provenance_keys(kind: str) -> tuple[str, ...]:
    """What frames of a kind say of their level of theory."""
    return PROVENANCE_OF_MOLECULES if kind == MOLECULES else PROVENANCE


def provenance(atoms: Atoms, code: str = "GPAW 22.8.0") -> dict[str, str | float]:
    """Level of theory of a structure's material, or of the molecules."""
    if atoms.info["kind"] == MOLECULES:
        return provenance_of_molecules(code)
    material = MATERIALS[atoms.info["kind"]]
    return {
        "code": code,
        "xc": "PBE",
        "ecut_eV": material.cutoff,
        "kpts": "x".join(map(str, kpoints(atoms, material.kpoints))),
        "setups": " ".join(f"{symbol}.{name}" for symbol, name in sorted(material.setups.items())),
        "smearing_eV": material.smearing,
    }


def kpoints(atoms: Atoms, size: tuple[int, int, int] | None, spacing: float = 0.8) -> tuple[int, int, int]:
    """A Monkhorst–Pack grid: as given, or even and of the given spacing (1/Å); shifted off Γ where it is used."""
    if size is not None:
        return size
    reciprocal = 2 * np.pi * np.linalg.norm(np.linalg.inv(atoms.cell.array).T, axis=1)
    return tuple(1 if x < 0.55 * spacing else 2 * int(np.ceil(x / spacing / 2)) for x in reciprocal)
