"""VASP's OUTCAR: field gradients of LEFG in V/Å², shielding of LCHIMAG in ppm, and the structure by ASE's parser.

Field gradients follow "Electric field gradients (V/A^2)" as xx yy zz xy xz yz, with the sign used here,
V_ij = +∂²V/∂x_i∂x_j, so that C_Q = eQV_zz/h. VASP prints three decimals; `efg_jax.structures.check_frames` removes the
trace and asymmetry that this leaves.

For the shielding VASP prints δ[VASP] = +∂B_ind/∂B_ext, "which is minus the shielding" (its manual, LCHIMAG), in parts.
The absolute shielding of a crystal is

    σ = −(symmetrised tensor + G=0 contribution + core shift of the POTCAR + G=0 contribution of core susceptibility),

where the symmetrised tensor is of the valence electrons without G=0, and the parts of the core are isotropic. The G=0
terms use the susceptibility of the infinite crystal, in the shape of a sphere. A row of these tables is the direction
of the applied field, a column that of the induced one; they are transposed to σ_ij = −∂B_i/∂B_j.

The sum must agree with VASP's own "absolute, valence and core" including G=0, or the file is refused; the isotropic
value is taken from there (four decimals). For some POTCARs VASP cannot compute the core shift, prints 0 and says so; a
warning repeats it. VASP 6.6 prints the whole sum as one table ("CSA tensor ... for chemical shielding",
LNMRLEG = .FALSE.), which is read as it is.

A single table belongs to the last structure of the file; otherwise there must be one for each structure.
"""

import lzma
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.io.formats import open_with_compression
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.io.ase_formats import read_ase

EFG_HEADING = "Electric field gradients (V/A^2)"
TENSORS_HEADING = "  SYMMETRIZED TENSORS"  # with the blanks, because UNSYMMETRIZED TENSORS ends in the same words
G0_HEADING = "G=0 CONTRIBUTION TO CHEMICAL SHIFT"
CORE_HEADING = "Core NMR properties"
SUSCEPTIBILITY_HEADING = "Core contribution to magnetic susceptibility:"
NO_CORE_HEADING = "can not compute core contributions for atomic type:"
CSA_HEADING = "CSA tensor (J. Mason"
SIGNS = {"shielding": 1.0, "shift": -1.0}  # by the quantity that the CSA table names
# ppm of the induced field per 10⁻⁶ cm³/mol of susceptibility in a cell of 1 Å³: (8π/3)/(N_A · 10⁻²⁴ cm³).
PPM_PER_SUSCEPTIBILITY = 8.0 * np.pi / 3.0 / 0.602214076
# VASP prints the core's susceptibility with two decimals: an error of 0.07/volume ppm.
AGREEMENT = 0.02
NAME = re.compile(r"outcar[^.]*(\.(gz|bz2|xz))?$")
_NUMBER = re.compile(r"[-+]?\d+\.\d*(?:[Ee][-+]?\d+)?|\*+")


class Tables(NamedTuple):
    """NMR tables of an OUTCAR, as printed.

    Attributes:
        efg: field gradients of each table, V/Å².
        tensors: symmetrised δ[VASP] of the valence electrons without G=0, for each table, ppm.
        g0: G=0 contribution for each of the susceptibilities that VASP tries, ppm.
        core: core shift of each type of ion, ppm.
        no_core: types of ion, from 0, whose core shift VASP could not compute.
        susceptibility: susceptibility of the cores, 10⁻⁶ cm³/mol.
        isotropic: VASP's own isotropic shift, valence and core including G=0, ppm.
        shielding: whole shielding tensors (VASP 6.6 and later), ppm; None where there are none.
        ions: number of ions of each type.
    """

    efg: list[Float[np.ndarray, "ions 3 3"]]
    tensors: list[Float[np.ndarray, "ions 3 3"]]
    g0: list[Float[np.ndarray, "3 3"]]
    core: list[float]
    no_core: set[int]
    susceptibility: float
    isotropic: Float[np.ndarray, " ions"] | None
    shielding: Float[np.ndarray, "ions 3 3"] | None
    ions: list[int]


def is_outcar(path: Path) -> bool:
    """Whether a file is an OUTCAR, by its name (run1.OUTCAR, OUTCAR_2.gz, but not OUTCAR.extxyz) or its first line."""
    if NAME.search(path.name.lower()):
        return True
    try:
        with open_with_compression(str(path), "rb") as file:
            return re.match(rb"(\xef\xbb\xbf)?\s*vasp\.\d", file.read(19)) is not None
    except (OSError, EOFError, zlib.error, lzma.LZMAError):  # not compressed as its name says, which its reader reports
        return False


def read_outcar(path: Path) -> list[Atoms]:
    """Read all structures of an OUTCAR, with its tensors.

    The file is read as a whole, because tensors may stand far from their structure.

    Args:
        path: OUTCAR, plain or compressed.

    Returns:
        Structures with ``arrays["efg"]`` (ions, 3, 3) in V/Å² and ``arrays["ms"]`` in ppm where the file has them.

    Warns:
        UserWarning: VASP could not compute the core part of the shielding of some elements.

    Raises:
        InputError: ASE cannot read the structures; a table is cut short or holds something else than numbers; the
            number of tables does not fit that of structures; the parts of the shielding are incomplete, or do not add
            up to VASP's own sum.
    """
    frames = [atoms for _, atoms in read_ase(path, form="vasp-out")]
    with closing(_lines(path)) as lines:
        tables = _tables(lines, path)
    for atoms, efg in _dealt(tables.efg, frames, "electric field gradients", path):
        atoms.arrays["efg"] = _for(atoms, efg, path)
    if tables.shielding is not None:
        frames[-1].arrays["ms"] = _for(frames[-1], tables.shielding.swapaxes(1, 2), path)
    else:
        for atoms, tensors in _dealt(tables.tensors[-1:], frames, "shielding", path):
            atoms.arrays["ms"] = _shielding(_for(atoms, tensors, path), tables, atoms.get_volume(), path)
    if tables.no_core and "ms" in frames[-1].arrays:
        _warn_of_cores(frames[-1], tables, path)
    return frames


def _warn_of_cores(atoms: Atoms, tables: Tables, path: Path) -> None:
    types = np.repeat(np.arange(len(tables.ions)), tables.ions)
    elements = dict.fromkeys(atoms.symbols[int(np.flatnonzero(types == one)[0])] for one in sorted(tables.no_core))
    warnings.warn(
        f"{path}: VASP could not compute core contributions of {', '.join(elements)}, so their shieldings lack a "
        "constant each; compare them only with each other and with a reference of the same POTCAR",
        stacklevel=3,
    )


def _lines(path: Path) -> Iterator[str]:
    """The lines one by one, because the OUTCAR of a long run is large."""
    with open_with_compression(str(path), "rb") as file:
        for line in file:
            yield line.decode("latin-1")  # the tables are ASCII; the title may be anything


def _tables(lines: Iterator[str], path: Path) -> Tables:
    found = Tables([], [], [], [], set(), 0.0, None, None, [])
    for line in lines:
        if "ions per type" in line:
            found = found._replace(ions=[int(number) for number in line.partition("=")[2].split()])
        elif EFG_HEADING in line:
            rows = _rows(lines, sum(found.ions), 6, path, EFG_HEADING)
            found.efg.append(rows[:, [0, 3, 4, 3, 1, 5, 4, 5, 2]].reshape(-1, 3, 3))
        elif line.startswith(TENSORS_HEADING):
            found.tensors.append(_rows(lines, 3 * sum(found.ions), 3, path, "SYMMETRIZED TENSORS").reshape(-1, 3, 3))
        elif G0_HEADING in line:
            found.g0.append(_rows(lines, 3, 3, path, G0_HEADING))
        elif NO_CORE_HEADING in line:
            found.no_core.add(int(line.rpartition(":")[2]) - 1)
        elif CORE_HEADING in line:
            found = found._replace(core=_rows(lines, len(found.ions), 1, path, CORE_HEADING)[:, 0].tolist())
        elif SUSCEPTIBILITY_HEADING in line:
            found = found._replace(susceptibility=_number_after(line, SUSCEPTIBILITY_HEADING, path))
        elif CSA_HEADING in line:
            found = _csa(lines, found, path)
    return found


def _csa(lines: Iterator[str], found: Tables, path: Path) -> Tables:
    """The last table: isotropic shifts (before 6.6), or whole tensors."""
    ions, of_what = sum(found.ions), None
    for line in islice(lines, 40 + 2 * ions):
        if "for chemical" in line:
            of_what = next((what for what in SIGNS if f"for chemical {what}" in line), None)
            if of_what is None:
                raise _cut_short(CSA_HEADING, path)
        if "absolute, valence and core" in line:
            return found._replace(isotropic=_rows(lines, ions, 6, path, "absolute, valence and core")[:, 3])
        if "iso_shield" in line or (of_what and "iso_shift" in line):
            rows = _rows(lines, 3 * ions, 6, path, CSA_HEADING)[:, 3:].reshape(-1, 3, 3)
            return found._replace(shielding=SIGNS[of_what or "shielding"] * rows)
    return found


def _rows(lines: Iterator[str], count: int, columns: int, path: Path, what: str) -> Float[np.ndarray, "count columns"]:
    """The next rows with this number of decimal numbers; headings, rules and lines in brackets are skipped."""
    rows = []
    while len(rows) < count:
        line = next(lines, None)
        if line is None:
            raise _cut_short(what, path)
        numbers = _NUMBER.findall(line)
        if len(numbers) == columns and "(" not in line:
            if any("*" in number for number in numbers):
                raise InputError(
                    f"VASP printed stars for a number of the table '{what}' too large for its column ({line.strip()}); "
                    "take this tensor from vaspout.h5 or vasprun.xml",
                    file=str(path),
                )
            rows.append([float(number) for number in numbers])
        elif numbers and len(rows) and "(" not in line:
            raise _cut_short(what, path)
    return np.array(rows).reshape(count, columns)


def _number_after(line: str, heading: str, path: Path) -> float:
    number = _NUMBER.search(line.partition(heading)[2])
    if number is None or "*" in number[0]:
        raise _cut_short(heading, path)
    return float(number[0])


def _cut_short(what: str, path: Path) -> InputError:
    return InputError(f"the table '{what}' is cut short; write or copy the file again", file=str(path))


def _dealt(tables: list[np.ndarray], frames: list[Atoms], what: str, path: Path) -> list[tuple[Atoms, np.ndarray]]:
    """Pair each table with its structure."""
    if len(tables) == len(frames):
        return list(zip(frames, tables, strict=True))
    if len(tables) > 1:
        raise InputError(
            f"has {len(tables)} tables of {what} for {len(frames)} structures, so which belongs to which is unknown; "
            "compute them for one structure per run",
            file=str(path),
        )
    return [(frames[-1], table) for table in tables]


def _for(atoms: Atoms, tensors: np.ndarray, path: Path) -> np.ndarray:
    if len(tensors) != len(atoms):
        raise InputError(
            f"has tensors of {len(tensors)} ions for {len(atoms)} atoms; "
            "the file seems to be put together from several runs: write it again",
            file=str(path),
        )
    return tensors


def _shielding(
    tensors: Float[np.ndarray, "ions 3 3"], tables: Tables, volume: float, path: Path
) -> Float[np.ndarray, "ions 3 3"]:
    """The sum of all parts, with the sign of a shielding."""
    lacking = [name for name, part in ((G0_HEADING, tables.g0), (CORE_HEADING, tables.core)) if not part]
    if lacking:
        raise InputError(
            f"has shielding tensors but no '{lacking[0]}', and so no absolute shielding; "
            "let the run end, or delete the tensors",
            file=str(path),
        )
    core = np.repeat(tables.core, tables.ions) + PPM_PER_SUSCEPTIBILITY * tables.susceptibility / volume
    shifts = [tensors + g0 + core[:, None, None] * np.eye(3) for g0 in tables.g0]
    if tables.isotropic is None:
        return -shifts[-1].swapaxes(1, 2)
    differences = [tables.isotropic - np.trace(shift, axis1=1, axis2=2) / 3 for shift in shifts]
    best = int(np.argmin([np.abs(difference).max() for difference in differences]))
    shift, difference = shifts[best], differences[best]
    if np.abs(difference).max() > AGREEMENT + 0.1 / volume:
        i = int(np.abs(difference).argmax())
        raise InputError(
            f"the parts of the shift add up to {tables.isotropic[i] - difference[i]:.4f} ppm, but VASP's own sum "
            f"(valence and core, including G=0) is {tables.isotropic[i]:.4f} ppm; "
            "the file seems to be put together from several runs: write it again",
            file=str(path),
            atom=i,
        )
    return -(shift + difference[:, None, None] * np.eye(3)).swapaxes(1, 2)
