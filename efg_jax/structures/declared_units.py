"""Units that a frame declares for its tensors: checked wherever tensors are used, dropped where they are replaced."""

import re
from typing import Any

from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.structures.targets import KNOWN, find, place_of

UNIT_WORDS = {"angstrom": "a", "angstroms": "a", "ang": "a", "å": "a", "²": "2"}
CONVERSIONS = {
    "au": "1 a.u. = 97.173624424 V/Å²",
    "a.u.": "1 a.u. = 97.173624424 V/Å²",
    "v/m2": "1 V/m² = 1e-20 V/Å²",
    "1021v/m2": "10²¹ V/m² = 10 V/Å²",
}
MAGRES = "magres_units"  # ASE's magres reader leaves it beside field gradients in atomic units


def check_units(atoms: Atoms, position: int, key: str | None = None, target: str | None = None) -> None:
    """Refuse tensors for which the frame declares other units, or another order of indices.

    Declarations are ``info["efg_units"]`` (or efg_unit, ms_units, ..., of the array or of the target) and
    ``info["magres_units"]``. Without one the units are assumed to be right: only `efg_jax.structures.check_frames`
    looks at the numbers.

    Args:
        atoms: frame.
        position: its position in the caller's list, for messages.
        key: array to check; None: all that have the name of a known tensor.
        target: what that array is, if its name is another: "efg", "ms", ...

    Raises:
        InputError: the frame declares other units, or ASE read its ``ms`` from a magres file.
    """
    for name, meant in ((name, name) for name in KNOWN) if key is None else ((key, target or key),):
        known = KNOWN.get(meant)
        if known is None or not known.unit or find(atoms, name) is None:
            continue
        for note, unit in _notes(atoms, name, meant).items():
            if isinstance(unit, str) and _plain_unit(unit) != _plain_unit(known.unit):
                factor = f" ({CONVERSIONS[plain]})" if (plain := _plain_unit(unit)) in CONVERSIONS else ""
                raise InputError(
                    f"'{name}' is in {unit} by what the file says; "
                    f"convert it to {known.unit}{factor} and drop that note ({note})",
                    **place_of(atoms, position),
                )
        if meant == "ms" and name in _magres_units(atoms):
            raise InputError(
                f"'{name}' has its indices in the order of magres files, applied field first, as ASE reads them; read "
                f"the file with efg_jax.io.read, or transpose (.swapaxes(1, 2)) and drop that note (info['{MAGRES}'])",
                **place_of(atoms, position),
            )


def drop_units(atoms: Atoms, name: str) -> None:
    """Remove, in place, what a frame declares for the units and origin of a tensor that is replaced."""
    for note in (f"{name}_unit", f"{name}_units", f"{name}_origin"):
        atoms.info.pop(note, None)
    if name in (units := _magres_units(atoms)):
        atoms.info[MAGRES] = {other: unit for other, unit in units.items() if other != name}


def _notes(atoms: Atoms, *names: str) -> dict[str, object]:
    """Units that the frame declares for arrays of these names, by the place where it does."""
    keys = [f"{name}_{word}" for name in names for word in ("unit", "units")]
    found = {f"info['{key}']": atoms.info[key] for key in keys if key in atoms.info}
    if names[0] in (units := _magres_units(atoms)):
        found[f"info['{MAGRES}']"] = units[names[0]]
    return found


def _magres_units(atoms: Atoms) -> dict[str, Any]:
    return units if isinstance(units := atoms.info.get(MAGRES), dict) else {}


def _plain_unit(unit: str) -> str:
    """One spelling for the many ways to write V/Å²."""
    return re.sub(r"\s|\*\*|\^|angstroms?|ang|å|²", lambda found: UNIT_WORDS.get(found[0], ""), unit.lower())
