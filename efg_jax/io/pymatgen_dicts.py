"""JSON of pymatgen structures with VASP's NMR tensors: {"structure": ..., "efg": ..., "cs": ..., "g0": ...}.

A file holds one such dictionary or a list of them; a bare structure is read without tensors. pymatgen is not needed.

"efg" is in V/Å² with the sign used here, V_ij = +∂²V/∂x_i∂x_j (in the published examples, H of water and of hydroxide
have V_zz > 0, along the bond).

"cs" is what pymatgen's `Outcar.read_cs_raw_symmetrized_tensors` takes from VASP's OUTCAR: the induced field
+∂B_ind/∂B_ext of the valence electrons in ppm, without G=0. It is minus a shielding, and a row is the direction of the
applied field. "g0" is the G=0 contribution. So ``ms`` = −(cs + g0)ᵀ.

*The cores are missing*: VASP adds an isotropic constant for each POTCAR, which these files lack (about −766 ppm in the
shift of Al). Anisotropies are correct, and so are differences between atoms of one element and POTCAR; a reference must
come from the same kind of file. ``info["ms_origin"]`` records this. For absolute values read the OUTCAR itself. In
metals VASP's G=0 contribution, and so the isotropic value, has no meaning.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.io.text_files import element, read_text, set_isotopes

VALENCE = "valence electrons and G=0, no cores"
VALENCE_WITHOUT_G0 = "valence electrons only, no G=0, no cores"


def is_pymatgen_dicts(path: Path) -> bool:
    """Whether a file is JSON with pymatgen structures, judged by its name and its text."""
    if not path.name.lower().removesuffix(".gz").endswith(".json"):
        return False
    return '"@class": "Structure"' in (text := read_text(path, "JSON")) or '"@class":"Structure"' in text


def read_pymatgen_dicts(path: Path) -> list[Atoms]:
    """Read all structures, with ``arrays["efg"]`` in V/Å² and ``arrays["ms"]`` in ppm where the file has them.

    Args:
        path: JSON, plain or gzipped.

    Raises:
        InputError: the JSON is damaged; an entry has no structure; a site is vacant or shared by several elements; the
            number of tensors is wrong.
    """
    try:
        content = json.loads(read_text(path, "JSON"))
    except json.JSONDecodeError as error:
        raise InputError(f"is no JSON ({error}); write or copy it again", file=str(path)) from error
    entries = content if isinstance(content, list) else [content]
    return [_entry(entry, {"file": str(path), "frame": number}) for number, entry in enumerate(entries)]


def _entry(entry: Any, place: dict[str, Any]) -> Atoms:
    entry = {"structure": entry} if isinstance(entry, dict) and "sites" in entry else entry
    try:
        structure = entry["structure"]
        elements = [_element(site, number, place) for number, site in enumerate(structure["sites"])]
        atoms = Atoms(
            [symbol for symbol, _ in elements],
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
    set_isotopes(atoms, {number: mass for number, (_, mass) in enumerate(elements) if mass is not None})
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


def _element(site: dict[str, Any], number: int, place: dict[str, Any]) -> tuple[str, float | None]:
    species = site["species"]
    if len(species) != 1 or species[0].get("occu", 1) != 1:
        shares = ", ".join(f"{one['element']} {one.get('occu', 1):g}" for one in species)
        raise InputError(
            f"is occupied by {shares or 'nothing'}; give ordered structures with one whole atom per site",
            atom=number,
            **place,
        )
    try:
        return element(species[0]["element"])
    except InputError as error:
        raise InputError(str(error), atom=number, **place) from error


def _values(value: Any) -> np.ndarray:
    """Numbers given as a list, or as an array in monty's form."""
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
