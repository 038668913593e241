"""What a user chooses: structures, atoms, nuclei, reference shieldings, with the same rules and errors everywhere."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.checks import with_label
from efg_jax.structures.occupancy import check_occupancy
from efg_jax.structures.targets import Target, find, labels, place_of, tensors_in
from efg_jax.tensors.nuclei import Isotope, default_isotope, isotope

HEAVY_HYDROGEN = {"2H": 2.01410, "3H": 3.01605}  # masses, u
NEEDLESS_REFERENCE = (
    "a reference shielding is given, but no chosen site has a shielding; leave it out, or read files with 'ms'"
)


def each(frames: Atoms | Iterable[Any] | os.PathLike) -> Iterator[Atoms]:
    """The given structures, one by one: of a single one, several, or a stream.

    Raises:
        InputError: one of them is a path, or no ase.Atoms.
    """
    if isinstance(frames, str | os.PathLike):
        raise InputError(
            "is a path, and structures are expected; read them: efg_jax.io.read(path), or iread(path) one by one",
            file=os.fspath(frames),
        )
    for number, atoms in enumerate([frames] if isinstance(frames, Atoms) else frames):
        if not isinstance(atoms, Atoms):
            raise InputError(f"is a {type(atoms).__name__}; expected a structure (ase.Atoms)", frame=number)
        yield atoms


def listed(indices: Iterable[Any]) -> Int[np.ndarray, " chosen"]:
    """Indices of atoms as an array, each once, in ascending order.

    Raises:
        InputError: they are not integers. (True and False of a mask would otherwise mean atoms 1 and 0.)
    """
    values = np.asarray(list(indices))
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise InputError(
            f"indices must be integers from 0, got {values.flat[0]}; convert a mask with np.flatnonzero(mask)"
        )
    return np.unique(values.astype(int))


def check_indices(indices: Int[np.ndarray, " chosen"], atoms: Atoms, number: int) -> None:
    """Check that a structure has atoms of these indices.

    Args:
        indices: from `listed`.
        atoms: structure.
        number: position of the structure in the caller's list, for the message.

    Raises:
        InputError: it has no such atom.
    """
    outside = indices[(indices < 0) | (indices >= len(atoms))]
    if len(outside):
        raise InputError(
            f"has no atom {outside[0]}; its {len(atoms)} atoms are numbered from 0", **place_of(atoms, number)
        )


def tensors_of(
    atoms: Atoms, position: int, names: Sequence[str], required: bool = True
) -> list[Float[np.ndarray, "atoms 3 3"] | None]:
    """Checked tensors of a frame in the order of the names; None for those that it does not carry.

    Args:
        atoms: frame.
        position: its position in the caller's list, for messages.
        names: "efg" (V/Å²) or "ms" (ppm) or both.
        required: whether it must carry one of them.

    Raises:
        InputError: it carries none of them, or one that fails `efg_jax.structures.check_frames`; a site is occupied in
            part or by several elements.
    """
    check_occupancy(atoms, position)
    found = []
    for name in names:
        here = find(atoms, name, "atom") is not None
        found.append(with_label(atoms, position, name, name, "atom").arrays[name] if here else None)
    if required and all(tensors is None for tensors in found):
        others = [f"'{name}'" for name in tensors_in(atoms) if name not in names]
        named = f"; it carries {', '.join(others)}: name what that is with --array {names[0]}=NAME" if others else ""
        raise InputError(
            f"carries no {' and no '.join(repr(name) for name in names)}{named}", **place_of(atoms, position)
        )
    return found


def finite_rows(tensors: Float[np.ndarray, "atoms 3 3"]) -> Bool[np.ndarray, " atoms"]:
    """Which atoms have a tensor; the others have NaN."""
    return np.isfinite(tensors).all(axis=(1, 2))


def site_labels(atoms: Atoms) -> tuple[np.ndarray, Int[np.ndarray, " atoms"]]:
    """A unique label and index for every atom: those of a magres file, or element and number among its kind, from 1.

    Returns:
        Text and integers, (atoms,) each: O 1, O 2, ...
    """
    labels, indices = atoms.arrays.get("labels"), atoms.arrays.get("indices")
    if labels is not None and indices is not None and indices.dtype.kind in "iu":
        labels, indices = labels.astype(str), indices.astype(int)
        if len(set(zip(labels.tolist(), indices.tolist(), strict=True))) == len(atoms):
            return labels, indices
    numbers = np.zeros(len(atoms), dtype=int)
    for element in np.unique(atoms.numbers):
        own = atoms.numbers == element
        numbers[own] = np.arange(1, own.sum() + 1)
    return np.array(atoms.get_chemical_symbols()), numbers


def named_species(species: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Element symbols as a tuple; None: all."""
    return None if species is None else (species,) if isinstance(species, str) else tuple(species)


def chosen_sites(
    atoms: Atoms, position: int, species: str | Sequence[str] | None, sites: Sequence[int] | None = None
) -> Int[np.ndarray, " sites"]:
    """Indices of the chosen atoms, in the given order.

    Raises:
        InputError: an atom does not exist or is named twice, or nothing is left.
    """
    wanted, symbols = named_species(species), np.asarray(atoms.symbols)
    numbers = np.arange(len(atoms))
    if sites is not None:
        own, numbers = listed(sites), np.array(list(sites), dtype=np.int64)
        check_indices(own, atoms, position)
        if len(own) < len(numbers):
            twice = next(one for one in own.tolist() if (numbers == one).sum() > 1)
            raise InputError(f"atom {twice} is chosen twice; name it once", **place_of(atoms, position))
    if wanted is not None:
        numbers = numbers[np.isin(symbols[numbers], wanted)]
    if not numbers.size:
        there = ", ".join(sorted(set(symbols)))
        what = f"no atom of {', '.join(wanted)}" if wanted else "no atom"
        raise InputError(f"{what} among the chosen; the elements here are {there}", **place_of(atoms, position))
    return numbers


def usual_isotopes(atoms: Atoms, gradient: Bool[np.ndarray, " atoms"]) -> list[Isotope | None]:
    """The nucleus of each atom that NMR would use, see `efg_jax.tensors.default_isotope`; None if the table has none.

    Hydrogen with the mass of deuterium or tritium is that isotope.

    Args:
        atoms: structure.
        gradient: which atoms have a field gradient.
    """
    masses = atoms.arrays.get("masses", np.full(len(atoms), np.nan))
    rows = list(zip(atoms.symbols, gradient.tolist(), _labelled(atoms.symbols, masses), strict=True))
    known = {
        row: isotope(row[2]) if row[2] else default_isotope(row[0], gradient=row[1]) for row in dict.fromkeys(rows)
    }
    return [known[row] for row in rows]


def _labelled(symbols: Iterable[str], masses: Float[np.ndarray, " atoms"]) -> list[str]:
    """The isotope of hydrogen that each mass means; empty for other masses and elements. (3.024, a hydrogen of three
    times its mass for long time steps, is no tritium.)
    """
    found = []
    for symbol, mass in zip(symbols, masses.tolist(), strict=True):
        close = (name for name, own in HEAVY_HYDROGEN.items() if symbol == "H" and abs(mass - own) < 3e-3)
        found.append(next(close, ""))
    return found


def chosen_isotopes(
    symbols: Sequence[str], isotopes: Mapping[str, Isotope | str] | None, usual: Sequence[Isotope | None]
) -> list[Isotope | None]:
    """The nucleus of each site: the given one of its element, or else the usual one.

    Args:
        symbols: element of each site.
        isotopes: given nuclei by element.
        usual: of each site, from `usual_isotopes`.

    Raises:
        InputError: an isotope is of another element, or of one that is not among the sites.
    """
    if strangers := sorted(set(isotopes or ()) - set(symbols)):
        named = ", ".join(sorted(set(symbols)))
        raise InputError(f"an isotope of {strangers[0]} is named, but the chosen sites are of {named}; leave it out")
    given = {}
    for symbol, name in (isotopes or {}).items():
        nucleus = isotope(name)
        if nucleus.symbol != symbol:
            raise InputError(f"{nucleus} is no isotope of {symbol}; write isotopes={{'{nucleus.symbol}': '{nucleus}'}}")
        given[symbol] = nucleus
    return [given.get(symbol, own) for symbol, own in zip(symbols, usual, strict=True)]


def chosen_references(
    symbols: Sequence[str], reference: Mapping[str, float] | float | None
) -> Float[np.ndarray, " sites"]:
    """The reference shielding of each site, ppm.

    Raises:
        InputError: an element has none, or not a finite number; one number was given for several elements.
    """
    kinds = list(dict.fromkeys(symbols))
    if reference is None:
        reference = {}
    elif not isinstance(reference, Mapping):
        if len(kinds) > 1:
            raise InputError(
                f"one reference shielding for {', '.join(kinds)}; "
                f"give one for each element, as reference={{'{kinds[0]}': {reference:g}}}"
            )
        reference = dict.fromkeys(kinds, reference)
    if lacking := [symbol for symbol in kinds if symbol not in reference]:
        raise InputError(
            f"a chemical shift of {lacking[0]} needs the shielding of its reference compound from the same method; "
            f"pass reference={{'{lacking[0]}': ...}} in ppm (command line: --reference {lacking[0]}=...), "
            "or ask for the shielding"
        )
    for symbol in kinds:
        if not np.isfinite(reference[symbol]):
            raise InputError(
                f"a reference shielding of {reference[symbol]:g} ppm for {symbol} has no meaning; give a number"
            )
    return np.array([float(reference[symbol]) for symbol in symbols])


def select(
    structures: Sequence[Atoms], symbol: str, keep: Sequence[np.ndarray] | None = None
) -> list[Int[np.ndarray, " _"]]:
    """Indices of the atoms of an element in each structure; with ``keep``, only of those where it is True."""
    chosen = [np.flatnonzero(np.asarray(atoms.symbols) == symbol) for atoms in structures]
    return chosen if keep is None else [index[mask[index]] for index, mask in zip(chosen, keep, strict=True)]


def labelled_elements(target: Target, frames: Sequence[Atoms], among: Sequence[str] | None = None) -> list[str]:
    """Elements that have labels of a target, sorted.

    Args:
        target: which.
        frames: structures, some of which carry it.
        among: elements to look at; None: all.
    """
    present = sorted({symbol for atoms in frames for symbol in atoms.symbols})
    wanted = [symbol for symbol in present if among is None or symbol in among]
    return [symbol for symbol in wanted if np.isfinite(labels(frames, target, symbol)).any()]


def learned_elements(species: Sequence[str] | None, target: Target, frames: Sequence[Atoms]) -> tuple[str, ...]:
    """Elements that a model learns from these structures; for a target per structure those that contribute to it.

    Args:
        species: elements that are wanted; None: all that have labels.
        target: what is learned.
        frames: training set.

    Raises:
        InputError: an element that no structure has or whose atoms carry no label, or no label at all.
    """
    present = sorted({symbol for atoms in frames for symbol in atoms.symbols})
    if absent := [symbol for symbol in species or () if symbol not in present]:
        raise InputError(f"no structure contains {', '.join(absent)}; choose among {', '.join(present)}")
    if target.per == "structure":
        return tuple(species or present)
    labelled = labelled_elements(target, frames)
    if not labelled:
        raise InputError(f"no atom carries a label of '{target.name}'; all are NaN")
    if bare := [symbol for symbol in species or () if symbol not in labelled]:
        raise InputError(
            f"no {bare[0]} atom carries a label of '{target.name}' (all are NaN); labelled are {', '.join(labelled)}"
        )
    return tuple(species or labelled)
