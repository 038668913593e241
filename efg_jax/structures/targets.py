"""Quantities to learn: a tensor per atom (EFG, shielding) or per structure (dipole), and its irreps.

A target is found in ``atoms.arrays`` (per atom), ``atoms.info`` (per structure) or the results of ASE's calculator,
under its own name or the one given by `array`. Rows of NaN mean "no label" everywhere.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.structures.padding import in_bucket
from efg_jax.tensors.irreps import INVARIANT, Irrep, decompose, spherical_to_vector, to_cartesian, vector_to_spherical

Per = Literal["atom", "structure"]
Kind = Literal["scalar", "vector", "matrix"]

SHAPES: dict[str, tuple[int, ...]] = {"scalar": (), "vector": (3,), "matrix": (3, 3)}
# Every irrep a shape can hold, as (order, parity). Parity +1 is proper (l + l' + order even in the descriptor: scalars,
# polar vectors, symmetric matrices), −1 pseudo: the antisymmetric part of a matrix is an axial vector.
IRREPS: dict[str, tuple[Irrep, ...]] = {
    "scalar": (INVARIANT,),
    "vector": ((1, 1),),
    "matrix": (INVARIANT, (1, -1), (2, 1)),
}
# An irrep whose largest norm over the data is below this fraction of the largest one's is rounding, not data.
NEGLIGIBLE = 1e-8
# Names that ASE's readers move from `info` to calculator results, with the number of axes of a value per structure.
RESULT_AXES = {
    "energy": 0,
    "free_energy": 0,
    "magmom": 0,
    "dipole": 1,
    "polarization": 1,
    "stress": 1,
    "dielectric_tensor": 2,
}
EXTENSIVE = {
    **dict.fromkeys(("energy", "free_energy", "magmom", "dipole", "polarizability", "polarisability", "virial"), True),
    **dict.fromkeys(("dielectric", "dielectric_tensor", "susceptibility", "polarization", "stress", "band_gap"), False),
}
"""Whether a known quantity of a structure grows with the cell: twice the cell has twice the energy, but the same
permittivity. ``susceptibility`` and ``polarization`` are those per volume.
"""


@dataclass(frozen=True)
class Target:
    """A quantity to learn, and how it transforms.

    Attributes:
        name: what it is called in models, reports and output files.
        per: one value per atom, or one per structure.
        kind: Cartesian shape: scalar (), vector (3,), matrix (3, 3).
        irreps: its irreducible parts as (order λ, parity), parity +1 proper and −1 pseudo.
        unit: unit of the values; empty: whatever the data have.
        symmetric: V_ij = V_ji (matrices).
        traceless: Tr V = 0 (matrices).
        array: name under which frames carry it, if it differs from `name`.
        extensive: of a structure's target, whether it is a sum over atoms (energy, dipole) or a mean (permittivity).
    """

    name: str
    per: Per
    kind: Kind
    irreps: tuple[Irrep, ...]
    unit: str = ""
    symmetric: bool = False
    traceless: bool = False
    array: str | None = None
    extensive: bool = True

    @property
    def shape(self) -> tuple[int, ...]:
        """Cartesian shape of one value: (), (3,) or (3, 3)."""
        return SHAPES[self.kind]

    @property
    def is_efg(self) -> bool:
        """Whether it is a field gradient of atoms in V/Å², from which C_Q and η follow."""
        return self.per == "atom" and self.symmetric and self.traceless and self.unit == _EFG.unit

    @property
    def key(self) -> str:
        """Name to look for in a frame."""
        return self.array or self.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON; `from_dict` is the inverse."""
        return asdict(self) | {"irreps": [list(channel) for channel in self.irreps]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Target":
        """Inverse of `to_dict`."""
        return cls(**{**values, "irreps": tuple((int(order), int(parity)) for order, parity in values["irreps"])})


_EFG = Target("efg", "atom", "matrix", ((2, 1),), "V/Å²", symmetric=True, traceless=True)
_POLARIZABILITY = Target("polarizability", "structure", "matrix", ((0, 1), (2, 1)), symmetric=True)
KNOWN: dict[str, Target] = {
    target.name: target
    for target in (
        _EFG,
        replace(_EFG, name="efg_local"),
        replace(_EFG, name="efg_nonlocal"),
        Target("ms", "atom", "matrix", IRREPS["matrix"], "ppm"),
        Target("dipole", "structure", "vector", IRREPS["vector"], "e Å"),
        _POLARIZABILITY,
        replace(_POLARIZABILITY, name="polarisability"),
        replace(_POLARIZABILITY, name="dielectric", extensive=False),
        replace(_POLARIZABILITY, name="dielectric_tensor", extensive=False),
        Target("energy", "structure", "scalar", IRREPS["scalar"], "eV"),
    )
}


def place_of(atoms: Atoms, position: int) -> dict[str, Any]:
    """``file`` and ``frame`` for an `InputError`: the origin of the frame, or else its position in the list."""
    if "source_file" in atoms.info:
        return {"file": str(atoms.info["source_file"]), "frame": int(atoms.info.get("source_frame", position))}
    return {"frame": position}


def _named(atoms: Atoms, position: int) -> str:
    """File and frame in words, for a message about another frame."""
    place = place_of(atoms, position)
    return ", ".join([*([place["file"]] if "file" in place else []), f"frame {place['frame']}"])


def find(atoms: Atoms, key: str, per: Per | None = None) -> tuple[Per, np.ndarray] | None:
    """The values that a frame carries under ``key``, and whether they are per atom or structure; None without any.

    Args:
        atoms: frame to search: arrays first, then info, then calculator results.
        key: name to look for.
        per: look at these only.
    """
    found: list[tuple[Per, Any]] = []
    if key in atoms.arrays:
        found.append(("atom", atoms.arrays[key]))
    if key in atoms.info:
        found.append(("structure", atoms.info[key]))
    results = getattr(atoms.calc, "results", {})
    if results.get(key) is not None:
        found.append(("structure" if np.ndim(results[key]) == RESULT_AXES.get(key) else "atom", results[key]))
    for where, value in found:
        if per in (None, where):
            value = _as_array(value)
            voigt = where == "structure" and key == "stress" and value.shape == (6,)
            return where, voigt_6_to_full_3x3_stress(value) if voigt else value
    return None


def _as_array(value: Any) -> np.ndarray:
    """The value as an array; a ragged list becomes an array of objects, which `shaped` refuses."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.empty(0, dtype=object)


def tensors_in(atoms: Atoms) -> list[str]:
    """Names of possible targets in a frame: per-atom arrays of nine numbers, and the known tensors."""
    per_atom = [name for name, value in atoms.arrays.items() if value.shape[1:] in ((9,), (3, 3))]
    known = [name for name in KNOWN if name != "energy" and name not in per_atom and find(atoms, name) is not None]
    return per_atom + known


def missing(key: str, atoms: Atoms, position: int) -> InputError:
    """The error for a frame without ``key``: names what it carries, and the option for another array."""
    if (found := find(atoms, key)) is not None:  # there, but per atom instead of structure, or the reverse
        return InputError(
            f"'{key}' is given per {found[0]} here; leave per out, or set per='{found[0]}' (command line: --per)",
            **place_of(atoms, position),
        )
    skipped = {"numbers", "positions"}
    there = [f"'{name}' ({value.shape[1:]} an atom)" for name, value in atoms.arrays.items() if name not in skipped]
    there += [
        f"'{name}' (structure)" for name in KNOWN if name in atoms.info or name in getattr(atoms.calc, "results", {})
    ]
    names = [name for name in (*atoms.arrays, *atoms.info) if name not in skipped]
    near = difflib.get_close_matches(key, names, n=1) or [name for name in tensors_in(atoms) if name != key][:1]
    if near and near[0] in KNOWN:
        mend = f"learn that with target='{near[0]}' (or --target {near[0]}), or pass structures that carry '{key}'"
    elif near:
        mend = f"name the array to use with array='{near[0]}' (command line: --array {near[0]})"
    else:
        mend = "add the tensors to the file, or leave this structure out"
    return InputError(
        f"no '{key}' here; it carries {', '.join(there) or 'no arrays besides elements and positions'}; {mend}",
        **place_of(atoms, position),
    )


def shaped(
    value: np.ndarray, key: str, per: Per, kind: Kind | None, atoms: Atoms, position: int
) -> tuple[Kind, np.ndarray]:
    """Values as float64 of shape (atoms, *shape) or (*shape): nine numbers become a 3×3 matrix, row by row.

    Args:
        value: from `find`.
        key: its name, for the message.
        per: whether there is one value per atom or structure.
        kind: required shape; None: the one of the data.
        atoms: frame that carries them.
        position: position of the frame in the caller's list, for the message.

    Raises:
        InputError: the values are not numbers, or not 1, 3 or 9 of them.
    """
    lead = (len(atoms),) if per == "atom" else ()
    inner = value.shape[len(lead) :]
    kinds: dict[tuple[int, ...], Kind] = {
        (): "scalar",
        (1,): "scalar",
        (3,): "vector",
        (9,): "matrix",
        (3, 3): "matrix",
    }
    actual = kinds.get(inner) if value.shape[: len(lead)] == lead else None
    if actual is None or kind not in (None, actual) or value.dtype.kind not in "fiu":
        numbers = {
            "scalar": "one number",
            "vector": "three numbers",
            "matrix": "nine numbers, a 3×3 matrix row by row,",
            None: "1, 3 or 9 numbers",
        }
        raise InputError(
            f"'{key}' has shape {value.shape} and type {value.dtype}; give {numbers[kind]} "
            f"{'an' if per == 'atom' else 'a'} {per}, or name another array with array='NAME' "
            "(command line: --array NAME)",
            **place_of(atoms, position),
        )
    return actual, value.astype(np.float64, copy=False).reshape(lead + SHAPES[actual])


def target_of(
    name: str,
    frames: Sequence[Atoms],
    per: Per | None = None,
    array: str | None = None,
    extensive: bool | None = None,
) -> Target:
    """The target called ``name`` as these frames carry it.

    A name that is not in `KNOWN` gets its kind from the shape of the data. Irreps that the data do not have (largest
    norm below 1e-8 of the largest irrep's) are left out: a symmetric shielding tensor has no λ = 1 part to learn.

    Args:
        name: "efg", "ms", "dipole", ... or any name of an array.
        frames: structures; those that carry no tensor at all count as unlabelled.
        per: per atom or per structure; None: whichever the frames have.
        array: name under which the frames carry it, if it differs.
        extensive: whether a structure's target is a sum over atoms or a mean; None: as `EXTENSIVE` knows its name.

    Raises:
        InputError: no frame has it; frames differ in shape; one frame has it and another carries a different tensor
            instead; whether a structure's target is a sum or a mean is not known, or said of a target of atoms.
    """
    key = array or name
    known = KNOWN.get(name)
    per = per or (known.per if known is not None else None)
    if not frames:
        raise InputError(f"no structures to take '{name}' from; pass at least one")

    first, values, without = None, [], []
    for position, atoms in enumerate(frames):
        found = find(atoms, key, per if first is None else first[1])
        if found is None:
            without.append((position, atoms))
            continue
        kind, value = shaped(found[1], key, found[0], known.kind if known else None, atoms, position)
        if first is None:
            first = (position, found[0], kind)
        elif kind != first[2]:
            raise InputError(
                f"'{key}' is a {kind} here but a {first[2]} in {_named(frames[first[0]], first[0])}; make them alike",
                **place_of(atoms, position),
            )
        values.append(value.reshape((-1, *SHAPES[kind])))
    if first is None:
        raise missing(key, frames[0], 0)
    for position, atoms in without:
        if others := tensors_in(atoms):
            raise different(key, frames[first[0]], first[0], others, atoms, position)

    if known is not None:
        target = replace(known, per=first[1], array=array if array != name else None)
    else:
        target = Target(name, first[1], first[2], IRREPS[first[2]], array=array)
    target = replace(target, extensive=_is_extensive(name, first[1], extensive))
    return _without_empty_irreps(target, np.concatenate(values))


def _is_extensive(name: str, per: Per, given: bool | None) -> bool:
    """Whether a structure's target is a sum over atoms; of a target of atoms True, which has no meaning."""
    if per == "atom":
        if given is not None:
            raise InputError(
                f"'{name}' is given per atom, and only a target of structures is extensive or intensive; leave that out"
            )
        return True
    if given is None and name not in EXTENSIVE:
        raise InputError(
            f"'{name}' belongs to structures, and whether it grows with the cell is not known; say extensive=True for "
            "a sum over atoms (energy, dipole) or extensive=False for a mean (permittivity, band gap) (command line: "
            "--extensive or --intensive)"
        )
    return EXTENSIVE[name] if given is None else given


def different(key: str, having: Atoms, at: int, others: Sequence[str], lacking: Atoms, position: int) -> InputError:
    """The error for two frames with different targets, which names what each carries."""
    listed = " and ".join(f"'{other}'" for other in others)
    return InputError(
        f"carries {listed} but no '{key}', while {_named(having, at)} carries '{key}'; "
        "train on one target at a time, or rename the array",
        **place_of(lacking, position),
    )


def _without_empty_irreps(target: Target, values: np.ndarray) -> Target:
    """Drop the irreps that the data do not have; at least one stays."""
    if target.kind != "matrix" or len(target.irreps) == 1:
        return target
    norms = {
        irrep: np.max(np.linalg.norm(part, axis=-1), initial=0.0, where=~np.isnan(part[:, 0]))
        for irrep, part in to_irreps(target, values).items()
    }
    total = max(norms.values())
    kept = tuple(irrep for irrep in target.irreps if norms[irrep] > NEGLIGIBLE * total) or target.irreps
    return replace(target, irreps=kept, symmetric=(1, -1) not in kept, traceless=(0, 1) not in kept)


def labels(
    frames: Sequence[Atoms], target: Target, species: str | Sequence[str] | None = None
) -> Float[np.ndarray, "labels *shape"]:
    """Labels of all frames, one after another; NaN for what has none.

    Args:
        frames: structures, of which some may carry no label.
        target: what to collect.
        species: elements whose rows are kept (per-atom targets); None: all.

    Returns:
        One row per atom, frame by frame in the order of the atoms, or one per structure; (rows, *shape), float64.
    """
    wanted = None if species is None else {species} if isinstance(species, str) else set(species)
    rows = []
    for position, atoms in enumerate(frames):
        lead = (len(atoms),) if target.per == "atom" else ()
        found = find(atoms, target.key, target.per)
        if found is None:
            value = np.full(lead + target.shape, np.nan)
        else:
            value = shaped(found[1], target.key, target.per, target.kind, atoms, position)[1]
        if target.per == "structure":
            value = value[None]
        elif wanted is not None:
            value = value[[symbol in wanted for symbol in atoms.symbols]]
        rows.append(value)
    return np.concatenate(rows) if rows else np.zeros((0, *target.shape))


def to_irreps(target: Target, values: Float[np.ndarray, "rows *shape"]) -> dict[Irrep, np.ndarray]:
    """Irreducible parts of Cartesian values, in the orthonormal real basis of `efg_jax.tensors.irreps`.

    Args:
        target: what the values are.
        values: (rows, *target.shape); NaN rows stay NaN.

    Returns:
        (order λ, parity) → (rows, 2λ+1), float64, for the target's irreps.
    """
    with x64():
        rows = len(values)
        values = jnp.asarray(in_bucket(np.asarray(values, dtype=np.float64)))
        if target.kind == "scalar":
            parts = {0: values[:, None]}
        elif target.kind == "vector":
            parts = {1: vector_to_spherical(values)}
        else:
            parts = _decompose(values, tuple(order for order, _ in target.irreps))
        return {(order, parity): np.asarray(parts[order])[:rows] for order, parity in target.irreps}


def cartesian(kind: Kind, components: Mapping[Irrep, Float[Array, "rows _"]]) -> Float[Array, "rows ..."]:
    """Values of a target's shape from their irreducible parts; pure and differentiable."""
    parts = {order: part for (order, _), part in components.items()}
    if kind == "scalar":
        return parts[0][:, 0]
    return spherical_to_vector(parts[1]) if kind == "vector" else to_cartesian(parts)


def from_irreps(target: Target, parts: Mapping[Irrep, np.ndarray]) -> Float[np.ndarray, "rows *shape"]:
    """Cartesian values from irreducible parts: the inverse of `to_irreps`. Missing parts count as zero.

    Args:
        target: what the values are.
        parts: (order λ, parity) → (rows, 2λ+1).

    Returns:
        (rows, *target.shape), float64.
    """
    if unknown := sorted(set(parts) - set(target.irreps)):
        raise InputError(f"'{target.name}' has no part of (order, parity) {unknown[0]}; it consists of {target.irreps}")
    if not parts:
        raise InputError(f"no part of '{target.name}' was given; pass at least one of (order, parity) {target.irreps}")
    with x64():
        rows = len(next(iter(parts.values())))
        padded = {irrep: in_bucket(np.asarray(part, dtype=np.float64)) for irrep, part in parts.items()}
        return np.asarray(_cartesian(target.kind, padded))[:rows]


_decompose = jax.jit(decompose, static_argnames="orders")
_cartesian = jax.jit(cartesian, static_argnames="kind")
