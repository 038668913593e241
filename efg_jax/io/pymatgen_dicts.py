"""JSON of structures as pymatgen's dictionaries with NMR tensors of VASP beside them: {"structure": ..., "efg": ..., "cs": ..., "g0": ...}.

One such dictionary or a list of them; a bare structure reads as one without tensors. pymatgen is not needed.

"efg" is in V/Å² with the sign used here, V_ij = +∂²V/∂x_i∂x_j (H of water and of hydroxide in the published examples: V_zz > 0, along the bond).

"cs" is what pymatgen's `Outcar.read_cs_raw_symmetrized_tensors` takes from VASP's OUTCAR: the induced field +∂B_ind/∂B_ext in ppm, which
is minus a shielding, of the valence electrons, without G=0; a row is the direction of the applied field. "g0" is the G=0 contribution.
So ``ms`` = −(cs + g0)ᵀ. *The cores are missing*: VASP adds an isotropic constant for each POTCAR that these files do not have (about
−766 ppm in the shift of Al). Anisotropies, and differences between atoms of one element and POTCAR, are right as they are;
a reference must come from the same kind of file. (In metals VASP's G=0 contribution, and so the mean, has no meaning.) ``info["ms_origin"]`` says so. Absolute values: read the OUTCAR itself.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError

VALENCE = "valence electrons and G=0, no cores"
VALENCE_WITHOUT_G0 = "valence electrons only, no G=0, no cores"


def is_pymatgen_dicts(path: Path) -> bool:
    """Whether a JSON file has pymatgen structures in it, by its name and its text."""
    if not path.name.lower().removesuffix(".gz").endswith(".json"):
        return False
    return '"@class": "Structure"' in (text := _text(path)) or '"@class":"Structure"' in text


def read_pymatgen_dicts(path: Path) -> list[Atoms]:
    """All structures of such a file, with ``arrays["efg"]`` in V/Å² and ``arrays["ms"]`` in ppm as far as they are there.

    Args:
        path: JSON, plain or gzipped.

    Raises:
        InputError: damaged JSON, an entry without structure, a site that is shared by several elements, a vacancy, a wrong number of tensors.
    """
    try:
        content = json.loads(_text(path))
    except json.JSONDecodeError as error:
        raise InputError(f"is no JSON ({error}); write or copy it again", file=str(path)) from error
    entries = content if isinstance(content, list) else [content]
    return [_entry(entry, {"file": str(path), "frame": number}) for number, entry in enumerate(entries)]


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        return (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode()
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError("is no text, so no JSON; is it damaged or another format?", file=str(path)) from error


def _entry(entry: Any, place: dict[str, Any]) -> Atoms:
    entry = {"structure": entry} if isinstance(entry, dict) and "sites" in entry else entry
    try:
        structure = entry["structure"]
        atoms = Atoms(
            [_element(site, number, place) for number, site in enumerate(structure["sites"])],
            scaled_positions=np.array([site["abc"] for site in structure["sites"]], dtype=np.float64),
            cell=np.array(structure["lattice"]["matrix"], dtype=np.float64),
            pbc=structure["lattice"].get("pbc", (True, True, True)),
        )
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        what = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"holds no structure as pymatgen writes it ({what}); write it again with Structure.as_dict()", **place
        ) from error
    if entry.get("efg") is not None:
        atoms.arrays["efg"] = _tensors(entry["efg"], "efg", len(atoms), place)
    if entry.get("cs") is not None:
        induced = _tensors(entry["cs"], "cs", len(atoms), place)
        with_g0 = entry.get("g0") is not None
        if with_g0:
            induced = induced + _tensors(_values(entry["g0"])[None], "g0", 1, place)
        atoms.arrays["ms"] = -induced.swapaxes(1, 2)
        atoms.info["ms_origin"] = VALENCE if with_g0 else VALENCE_WITHOUT_G0
    return atoms


def _element(site: dict[str, Any], number: int, place: dict[str, Any]) -> str:
    species = site["species"]
    if len(species) != 1 or species[0].get("occu", 1) != 1:
        shares = ", ".join(f"{one['element']} {one.get('occu', 1):g}" for one in species)
        raise InputError(
            f"is occupied by {shares or 'nothing'}; give ordered structures, one whole atom a site",
            atom=number,
            **place,
        )
    return species[0]["element"]


def _values(value: Any) -> np.ndarray:
    """A list, or an array as monty writes it."""
    return np.asarray(value["data"] if isinstance(value, dict) else value, dtype=np.float64)


def _tensors(value: Any, name: str, count: int, place: dict[str, Any]) -> Float[np.ndarray, "count 3 3"]:
    try:
        tensors = _values(value)
        if tensors.shape != (count, 3, 3):
            raise ValueError(f"shape {tensors.shape}")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"'{name}' is no array of {count} 3×3 matrices ({error}); give one for each site, in their order", **place
        ) from error
    return tensors
