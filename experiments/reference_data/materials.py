"""Materials that reference data can be made of: what they are built from, and how they are computed.

A further material is one entry of `MATERIALS` (and its parents in `parents.py`); see the README.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ase import Atoms

from experiments.reference_data.parents import lto_parents, silica_parents


@dataclass(frozen=True)
class Material:
    """One family of structures at one level of theory.

    Attributes:
        parents: crystals by name, with the number of structures that each gives in a round.
        closest: smallest distance (Å) that is allowed between two elements after rattling.
        valence: electrons of each element's PAW dataset.
        setups: PAW datasets that are not GPAW's own, by element; `SETUPS` says how they are made.
        cutoff: of the plane waves, eV.
        kpoints: Monkhorst–Pack grid shifted off Γ; None: even, of spacing 0.8 Å⁻¹.
        density: electrons per valence electron that may still move at self-consistency. The README has what that
            leaves in the tensors.
        eigenstates: residual of the orbitals then, eV² per valence electron.
        smearing: width of Fermi–Dirac occupations, eV; 0: fixed occupations.
    """

    parents: Callable[[], dict[str, tuple[int, Atoms]]]
    closest: Mapping[tuple[str, str], float]
    valence: Mapping[str, int]
    setups: Mapping[str, str]
    cutoff: float = 700.0
    kpoints: tuple[int, int, int] | None = None
    density: float = 1e-5
    eigenstates: float = 1e-7
    smearing: float = 0.0


SETUPS = {
    ("O", "gen"): ["O", "-f", "PBE", "-s", "-w", "-t", "gen"],
    ("Li", "gen3e"): ["Li", "-f", "PBE", "-s", "-w", "-t", "gen3e", "-e", "3"],
    ("Ti", "gen12e"): ["Ti", "-f", "PBE", "-s", "-w", "-t", "gen12e", "-e", "12"],
}
"""Arguments of ``gpaw dataset`` for each PAW dataset that GPAW does not ship as we need it."""

MATERIALS = {
    "silica": Material(
        parents=silica_parents,
        closest={("O", "Si"): 1.35, ("O", "O"): 1.9, ("Si", "Si"): 2.2},
        valence={"Si": 4, "O": 6},
        setups={"O": "gen"},
    ),
    "lto": Material(
        parents=lto_parents,
        closest={
            ("Li", "O"): 1.55,
            ("O", "Ti"): 1.5,
            ("O", "O"): 1.9,
            ("Li", "Li"): 2.0,
            ("Li", "Ti"): 2.2,
            ("Ti", "Ti"): 2.2,
        },
        valence={"Li": 3, "Ti": 12, "O": 6},
        setups={"O": "gen", "Li": "gen3e", "Ti": "gen12e"},
        kpoints=(2, 2, 1),
        density=1e-4,
        eigenstates=4e-6,
        smearing=0.05,
    ),
}
