"""The level of theory against published values, at rest."""

from dataclasses import dataclass

import numpy as np

from experiments.reference_data.molecules.nmr import field_gradients, kohn_sham, shielding
from experiments.reference_data.molecules.parents import molecules

MHZ_PER_MILLIBARN_V_PER_ANGSTROM2 = 2.4179892421e-3
QUADRUPOLE_MOMENTS = {"2H": 2.8578, "14N": 20.44, "17O": -25.58}  # millibarn; Pyykkö, Mol. Phys. 116, 1328 (2018)


@dataclass(frozen=True)
class Published:
    """One measured number.

    Attributes:
        molecule: one of those that structures are made from.
        isotope: of the nucleus.
        atom: number of the nucleus in the molecule.
        value: shielding in ppm, or quadrupolar coupling in MHz.
        source: who measured it, and what differs from a molecule at rest.
        along: the coupling along the line through two atoms, or along the normal of the plane of three, rather than
            the largest.
        coupling: whether it is a quadrupolar coupling.
    """

    molecule: str
    isotope: str
    atom: int
    value: float
    source: str
    along: tuple[int, ...] | None = None
    coupling: bool = False


VALUES = (
    Published(
        "water",
        "2H",
        1,
        -0.1658,
        "HDO, out of plane; Fry and Kukolich, J. Chem. Phys. 76, 4387 (1982)",
        (0, 1, 2),
        True,
    ),
    Published("water", "17O", 0, 325.3, "at 300 K; Puzzarini et al., J. Chem. Phys. 131, 234304 (2009)"),
    Published("ammonia", "1H", 1, 31.2, "Kukolich, J. Am. Chem. Soc. 97, 5704 (1975)"),
    Published("methylamine", "14N", 0, 1.826, "out of plane; as in nqcc.wcbailey.net/CH3NH2", (0, 1, 4), True),
    Published("formamide", "14N", 2, -3.851, "Kryvda et al. (2009), as in nqcc.wcbailey.net/NH2CHO", coupling=True),
    Published(
        "fluoromethane",
        "2H",
        2,
        -0.0478,
        "CD3F in a liquid crystal, along C–F, ±0.0015; abstract of “Deuteron quadrupole coupling constants in CD3F and "
        "1,3,5-C6D3F3”",
        (0, 1),
        True,
    ),
    Published("disiloxane", "17O", 0, -5.19, "|C_Q| of α-quartz, which has the same Si–O–Si angle", coupling=True),
)
"""Only what has been looked up."""


def table() -> str:
    """Calculated and published values as markdown, each molecule computed once."""
    at_rest = molecules()
    computed = {}
    for name in dict.fromkeys(entry.molecule for entry in VALUES):
        atoms = at_rest[name].atoms
        field = kohn_sham(atoms)
        computed[name] = atoms.positions, shielding(field), field_gradients(field)
    lines = ["| | | calculated | published | source |", "|---|---|---|---|---|"]
    for entry in VALUES:
        value = _value(entry, *computed[entry.molecule])
        what, digits = ("C_Q or χ, MHz", 3) if entry.coupling else ("σ, ppm", 1)
        named, numbers = entry.molecule.replace("_", " "), f"{value:.{digits}f} | {entry.value:.{digits}f}"
        lines.append(f"| {named} | {entry.isotope} {what} | {numbers} | {entry.source} |")
    return "\n".join(lines)


def _value(entry: Published, positions: np.ndarray, shieldings: np.ndarray, gradients: np.ndarray) -> float:
    if not entry.coupling:
        return float(np.trace(shieldings[entry.atom]) / 3)
    tensor = gradients[entry.atom]
    if entry.along is None:
        values = np.linalg.eigvalsh(tensor)
        along = values[np.argmax(np.abs(values))]
    else:
        origin, *others = positions[list(entry.along)]
        edges = [other - origin for other in others]
        axis = edges[0] if len(edges) == 1 else np.cross(*edges)
        along = axis @ tensor @ axis / (axis @ axis)
    return float(MHZ_PER_MILLIBARN_V_PER_ANGSTROM2 * QUADRUPOLE_MOMENTS[entry.isotope] * along)
