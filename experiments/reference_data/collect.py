"""Results of the workers, checked, in one file."""

import io
import warnings
from collections import defaultdict
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from experiments.reference_data.build import KINDS, rattled
from experiments.reference_data.materials import MATERIALS
from experiments.reference_data.molecules.parents import molecules
from experiments.reference_data.molecules.structures import KIND as MOLECULES
from experiments.reference_data.molecules.structures import rattled_molecule
from experiments.reference_data.provenance import provenance, provenance_keys

ASYMMETRY, TRACE = (
    1e-6,
    2e-6,
)  # V/Å²; GPAW's are 1e-12, the first frames were written with six decimals, later ones with eight
# eV per atom from the median of a material, or of a molecule. The largest cost of displacements of 0.14 Å is 1.73
# (stishovite 3: computed twice, to the same tensors within 3e-5 and energy within 2e-9 eV).
ENERGY = 2.0
FORCE, NET_FORCE = 40.0, 0.05  # eV/Å: on an atom, and on the cell
PLACE = 1e-6  # Å: a structure is what its parent and index say


def collect(paths: list[Path], adopt: bool = False) -> list[Atoms]:
    """Read results and check every frame.

    Args:
        paths: files, or folders of them.
        adopt: frames that do not say how they were made are taken to be at their material's level of theory.

    Returns:
        The frames; energies and forces with their calculator. Those of files in their order, then those of folders,
        in the order of `build`: a set that grows keeps the beginning that it had.

    Raises:
        ValueError: with one line for each frame that is not as it should be.
    """
    files = [path for path in paths if not path.is_dir()]
    results = [file for path in paths if path.is_dir() for file in sorted(path.glob("*.extxyz*"))]
    frames = _read(files) + sorted(_read(results), key=_round)
    if adopt:
        for _, atoms in frames:
            _adopt(atoms)
    faults = [f"{place}: {fault}" for place, atoms in frames for fault in faults_of(atoms)]
    faults += _duplicates(frames) + _outlying_energies(frames)
    if faults:
        raise ValueError("\n".join(faults))
    return [atoms for _, atoms in frames]


def _read(files: list[Path]) -> list[tuple[str, Atoms]]:
    return [(f"{file.name}, frame {n}", atoms) for file in files for n, atoms in enumerate(whole_frames(file), 1)]


def _round(frame: tuple[str, Atoms]) -> tuple:
    """Where `build` has it: kind, round, place of the parent, index; what lacks them is refused later."""
    info = frame[1].info
    kind, name, index = str(info.get("kind")), info.get("parent"), int(info.get("index", -1))
    parents = _parents(kind) if kind in KINDS else {}
    if name not in parents:
        return kind, -1, -1, index
    share = parents[name].share if kind == MOLECULES else parents[name][0]
    return kind, index // share, list(parents).index(name), index


def whole_frames(path: Path) -> list[Atoms]:
    """Frames of an extended XYZ file; a last one that was not written to its end is dropped with a warning."""
    from ase.io.formats import open_with_compression

    with open_with_compression(str(path), "rt") as stream:
        text = stream.read()
    lines = text.splitlines(keepends=True)
    end = 0
    while end < len(lines):
        try:
            after = end + 2 + int(lines[end])
        except ValueError:
            raise ValueError(
                f"{path}, line {end + 1}: expected a number of atoms, found {lines[end].strip()!r}"
            ) from None
        if after > len(lines) or not lines[after - 1].endswith("\n"):
            warnings.warn(f"{path}: the last frame (line {end + 1}) is not whole and is left out", stacklevel=2)
            break
        end = after
    kept = "".join(lines[:end])
    return ase.io.read(io.StringIO(kept), ":", format="extxyz") if kept else []


def faults_of(atoms: Atoms) -> list[str]:
    """What is wrong with one frame."""
    absent = [key for key in ("kind", "parent", "index") if key not in atoms.info]
    if absent:
        return [f"its info lacks {', '.join(absent)}"]
    kind = atoms.info["kind"]
    if kind not in KINDS:
        return [f"kind {kind!r} is not among {', '.join(KINDS)}"]
    tensors = ("efg", "ms") if kind == MOLECULES else ("efg",)
    if any(name not in atoms.arrays for name in tensors) or atoms.calc is None:
        return [f"it carries no {' or '.join(tensors)}, or no energy and forces"]
    faults = [f"{name} is not finite" for name in tensors if not np.isfinite(atoms.arrays[name]).all()]
    missing = [key for key in provenance_keys(kind) if key not in atoms.info]
    if missing:
        faults.append(f"its info does not say {', '.join(missing)}")
    elif wrong := _other_level(atoms):
        faults.append(wrong)
    efg = np.asarray(atoms.arrays["efg"], dtype=float).reshape(-1, 3, 3)
    if (asymmetry := np.abs(efg - efg.transpose(0, 2, 1)).max()) > ASYMMETRY:
        faults.append(f"efg is asymmetric by {asymmetry:.1e} V/Å²")
    if (trace := np.abs(np.trace(efg, axis1=1, axis2=2)).max()) > TRACE:
        faults.append(f"efg has a trace of {trace:.1e} V/Å²")
    forces = atoms.get_forces()
    if not (largest := np.linalg.norm(forces, axis=1).max()) < FORCE:
        faults.append(f"a force of {largest:.1f} eV/Å")
    if not (net := np.abs(forces.sum(axis=0)).max()) < NET_FORCE:
        faults.append(f"forces add up to {net:.3f} eV/Å")
    return faults + _not_as_built(atoms)


def _not_as_built(atoms: Atoms) -> list[str]:
    kind, name, index = atoms.info["kind"], atoms.info["parent"], int(atoms.info["index"])
    parents = _parents(kind)
    if name not in parents:
        return [f"{kind} has no parent {name!r}"]
    if kind == MOLECULES:
        built = rattled_molecule(name, parents[name], index)
    else:
        built = rattled(MATERIALS[kind], name, parents[name][1], index)
    if built is None or len(built) != len(atoms) or (built.numbers != atoms.numbers).any():
        return ["its atoms are not those that its parent and index give"]
    off = max(np.abs(built.positions - atoms.positions).max(), np.abs(built.cell.array - atoms.cell.array).max())
    return [f"atoms lie {off:.1e} Å from where parent and index put them"] if off > PLACE else []


_BUILT: dict[str, dict] = {}


def _parents(kind: str) -> dict:
    if kind not in _BUILT:
        _BUILT[kind] = molecules() if kind == MOLECULES else MATERIALS[kind].parents()
    return _BUILT[kind]


def _other_level(atoms: Atoms) -> str:
    """How a frame's level of theory differs from its material's."""
    expected = provenance(atoms, code=str(atoms.info["code"]))
    differs = [f"{key} = {atoms.info[key]}, not {value}" for key, value in expected.items() if atoms.info[key] != value]
    return f"another level of theory: {'; '.join(differs)}" if differs else ""


def _adopt(atoms: Atoms) -> None:
    if atoms.info.get("kind") in MATERIALS:
        atoms.info.update({key: value for key, value in provenance(atoms).items() if key not in atoms.info})


def _duplicates(frames: list[tuple[str, Atoms]]) -> list[str]:
    places = defaultdict(list)
    for place, atoms in frames:
        places[tuple(atoms.info.get(key) for key in ("kind", "parent", "index"))].append(place)
    return [f"{' and '.join(found)} are the same structure" for found in places.values() if len(found) > 1]


def _outlying_energies(frames: list[tuple[str, Atoms]]) -> list[str]:
    alike = defaultdict(list)  # of a material, or of a molecule
    for place, atoms in frames:
        if atoms.calc is not None:
            kind, parent = atoms.info.get("kind"), atoms.info.get("parent")
            group = (kind, parent) if kind == MOLECULES else kind
            alike[group].append((place, atoms.get_potential_energy() / len(atoms)))
    faults = []
    for found in alike.values():
        median = np.median([energy for _, energy in found])
        faults += [
            f"{place}: an energy of {energy:.3f} eV per atom, where {median:.3f} is usual"
            for place, energy in found
            if not abs(energy - median) < ENERGY
        ]
    return faults
