"""Twenty-five faults, planted into clean labels of three sets, and the finding that each must raise."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from efg_jax.auditing import AuditResult, Finding
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT as AU

Frames = list[Atoms]
LABELS = ("efg", "ms")


class Planted(NamedTuple):
    """Corrupted structures.

    Attributes:
        data: the set.
        frames: numbers of the frames that are wrong; empty: the whole set.
        test: a test set, where the fault is one of the split.
    """

    data: Frames
    frames: tuple[int, ...] = ()
    test: Frames | None = None


class Corruption(NamedTuple):
    """One fault.

    Attributes:
        name: in words.
        source: "silica", "molecules" or "solid solution".
        plant: frames (which it may change) and random numbers → what is audited.
        kinds: findings that name it.
    """

    name: str
    source: str
    plant: Callable[[Frames, np.random.Generator], Planted]
    kinds: tuple[str, ...]

    def found(self, result: AuditResult, planted: Planted) -> Finding | None:
        """The gravest finding that names the fault where it is; None where there is none."""
        for one in result.summary():
            place = one.frame in planted.frames if planted.frames else one.frame is None
            if one.kind in self.kinds and one.severity != "info" and place:
                return one
        return None


def tensors(atoms: Atoms) -> list[str]:
    """Names of the labels of a structure."""
    return [name for name in LABELS if name in atoms.arrays]


def change(atoms: Atoms, function: Callable[[np.ndarray], np.ndarray], names: Sequence[str] = LABELS) -> None:
    """Replace labels, (atoms, 3, 3) each."""
    for name in tensors(atoms):
        if name in names:
            atoms.arrays[name] = function(atoms.arrays[name])


def in_one(
    function: Callable[[np.ndarray, np.random.Generator], np.ndarray], names: Sequence[str] = LABELS, least: int = 3
):
    """A fault of one random frame."""

    def plant(frames: Frames, random: np.random.Generator) -> Planted:
        number = pick(frames, random, least)
        change(frames[number], lambda rows: function(rows, random), names)
        return Planted(frames, (number,))

    return plant


def in_all(function: Callable[[np.ndarray], np.ndarray], names: Sequence[str] = LABELS):
    """A fault of the whole set."""

    def plant(frames: Frames, random: np.random.Generator) -> Planted:
        for atoms in frames:
            change(atoms, function, names)
        return Planted(frames)

    return plant


def pick(frames: Frames, random: np.random.Generator, least: int = 3) -> int:
    """The number of a frame of enough atoms."""
    return int(random.choice([i for i, atoms in enumerate(frames) if len(atoms) >= least]))


def turned(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """By a random rotation of 30° or more."""
    while (turn := Rotation.random(random_state=random)).magnitude() < np.radians(30):
        pass
    return turn.as_matrix() @ rows @ turn.as_matrix().T


def quarter_turn(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """About z, by 90°."""
    turn = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
    return turn @ rows @ turn.T


def shuffled_oxygen(frames: Frames, random: np.random.Generator) -> Planted:
    """The tensors of all O of one frame in another order."""
    number = pick(frames, random, 9)
    own = np.flatnonzero(frames[number].symbols == "O")
    order = own.copy()
    while (order == own).mean() > 0.3:
        order = random.permutation(own)
    change(frames[number], lambda rows: placed(rows, own, rows[order]))
    return Planted(frames, (number,))


def exchanged_oxygen(frames: Frames, random: np.random.Generator) -> Planted:
    """Two O of one frame with each other's tensors."""
    number = pick(frames, random, 9)
    pair = random.choice(np.flatnonzero(frames[number].symbols == "O"), 2, replace=False)
    change(frames[number], lambda rows: placed(rows, pair, rows[pair[::-1]]))
    return Planted(frames, (number,))


def placed(rows: np.ndarray, where: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The rows with some of them replaced."""
    rows = rows.copy()
    rows[where] = values
    return rows


def exchanged_frames(frames: Frames, random: np.random.Generator) -> Planted:
    """Two frames of one composition with each other's labels."""
    first = pick(frames, random)
    alike = [i for i, atoms in enumerate(frames) if i != first and np.array_equal(atoms.numbers, frames[first].numbers)]
    second = int(random.choice(alike))
    for name in tensors(frames[first]):
        one, other = frames[first].arrays, frames[second].arrays
        one[name], other[name] = other[name].copy(), one[name].copy()
    return Planted(frames, (first, second))


def another_configuration(frames: Frames, random: np.random.Generator) -> Planted:
    """A cell of the solid solution with the tensors of another configuration of the same composition."""
    first = pick(frames, random)
    alike = [i for i, atoms in enumerate(frames) if i != first and np.array_equal(atoms.numbers, frames[first].numbers)]
    if not alike:
        return another_configuration(frames, random)
    second = int(random.choice(alike))
    for name in tensors(frames[first]):
        frames[first].arrays[name] = frames[second].arrays[name].copy()
    return Planted(frames, (first, second))


def one_off(frames: Frames, random: np.random.Generator) -> Planted:
    """Every frame with the labels of the next one of its composition."""
    groups: dict[bytes, list[int]] = {}
    for i, atoms in enumerate(frames):
        groups.setdefault(atoms.numbers.tobytes(), []).append(i)
    for group in groups.values():
        for name in tensors(frames[group[0]]):
            rows = [frames[i].arrays[name].copy() for i in group]
            for i, moved in zip(group, rows[1:] + rows[:1], strict=True):
                frames[i].arrays[name] = moved
    return Planted(frames)


def each_turned(frames: Frames, random: np.random.Generator) -> Planted:
    """Every frame's tensors in axes of their own."""
    for atoms in frames:
        turn = Rotation.random(random_state=random).as_matrix()
        change(atoms, lambda rows, turn=turn: turn @ rows @ turn.T)
    return Planted(frames)


def misprinted(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """xy of every tensor is its yz."""
    rows = rows.copy()
    rows[:, 0, 1] = rows[:, 1, 2]
    return rows


def one_too_large(frames: Frames, random: np.random.Generator) -> Planted:
    """The tensor of one O is half as large again."""
    number = pick(frames, random)
    atom = random.choice(np.flatnonzero(frames[number].symbols == "O"), 1)
    change(frames[number], lambda rows: placed(rows, atom, 1.5 * rows[atom]))
    return Planted(frames, (number,))


def shifts(atoms: Atoms, rows: np.ndarray) -> np.ndarray:
    """δ = σ_ref − σ, with references of about TMS, nitromethane, water, CFCl3."""
    references = {"H": 31.0, "C": 185.0, "N": -135.0, "O": 290.0, "F": 190.0, "Si": 335.0}
    return np.array([references[str(symbol)] for symbol in atoms.symbols])[:, None, None] * np.eye(3) - rows


def one_as_shifts(frames: Frames, random: np.random.Generator) -> Planted:
    """One frame has shifts."""
    number = pick(frames, random, 4)
    frames[number].arrays["ms"] = shifts(frames[number], frames[number].arrays["ms"])
    return Planted(frames, (number,))


def all_as_shifts(frames: Frames, random: np.random.Generator) -> Planted:
    """All frames have shifts."""
    for atoms in frames:
        atoms.arrays["ms"] = shifts(atoms, atoms.arrays["ms"])
    return Planted(frames)


def another_functional(frames: Frames, random: np.random.Generator) -> Planted:
    """A quarter of the frames by another functional, which nothing says: field gradients 6 % larger, σ_iso shifted."""
    offsets = {"H": 0.6, "C": 8.0, "N": 10.0, "O": 12.0, "F": 12.0, "Si": 8.0}  # about PBE against a hybrid
    for i in random.choice(len(frames), len(frames) // 4, replace=False):
        change(frames[i], lambda rows: 1.06 * rows, ("efg",))
        more = np.array([offsets[str(symbol)] for symbol in frames[i].symbols])
        frames[i].arrays["ms"] = frames[i].arrays["ms"] + more[:, None, None] * np.eye(3)
    return Planted(frames)


def unlabelled(rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Two atoms without a label."""
    return placed(rows, random.choice(len(rows), 2, replace=False), np.full((2, 3, 3), np.nan))


def mixed_site(frames: Frames, random: np.random.Generator) -> Planted:
    """A site of 0.6 Sn and 0.4 Zr that was taken for the one that is written first."""
    number = pick(frames, random)
    atoms = frames[number]
    site = int(random.choice(np.flatnonzero(np.isin(atoms.symbols, ("Sn", "Zr")))))
    atoms.info["occupancy"] = {
        str(i): {"Sn": 0.6, "Zr": 0.4} if i == site else {str(symbol): 1.0} for i, symbol in enumerate(atoms.symbols)
    }
    atoms.arrays["spacegroup_kinds"] = np.arange(len(atoms))
    return Planted(frames, (number,))


def vacancy(frames: Frames, random: np.random.Generator) -> Planted:
    """An O is missing from the structure; the tensors were computed with it."""
    number = pick(frames, random)
    del frames[number][int(random.choice(np.flatnonzero(frames[number].symbols == "O")))]
    return Planted(frames, (number,))


def leaked(frames: Frames, random: np.random.Generator) -> Planted:
    """One training cell is in the test set as well, turned, moved, its atoms in another order."""
    data, test = frames[: len(frames) * 4 // 5], frames[len(frames) * 4 // 5 :]
    copy = data[pick(data, random)].copy()[random.permutation(len(data[0]))]
    turn = Rotation.random(random_state=random).as_matrix()
    copy.positions, copy.cell = (copy.positions + random.normal(size=3)) @ turn.T, copy.cell.array @ turn.T
    change(copy, lambda rows: turn @ rows @ turn.T)
    return Planted(data, (len(data) + len(test),), [*test, copy])


CORRUPTIONS = (
    Corruption("one frame turned", "silica", in_one(turned), ("rotated",)),
    Corruption("one frame, axes x → y → z", "silica", in_one(lambda v, _: np.roll(v, 1, (1, 2))), ("rotated",)),
    Corruption("one frame with the opposite sign", "silica", in_one(lambda v, _: -v), ("sign",)),
    Corruption("all with the opposite sign", "silica", in_all(lambda v: -v), ("sign",)),
    Corruption("one frame in atomic units", "silica", in_one(lambda v, _: v / AU), ("units",)),
    Corruption("all in atomic units", "silica", in_all(lambda v: v / AU), ("units",)),
    Corruption("O shuffled in one frame", "silica", shuffled_oxygen, ("permuted",)),
    Corruption("two O exchanged", "silica", exchanged_oxygen, ("permuted",)),
    Corruption("two frames exchanged", "silica", exchanged_frames, ("swapped",)),
    Corruption("all labels one frame off", "silica", one_off, ("unrelated",)),
    Corruption("one frame, xy misread", "silica", in_one(misprinted), ("asymmetric",)),
    Corruption("every frame in axes of its own", "silica", each_turned, ("rotated",)),
    Corruption("one O 1.5 times too large", "silica", one_too_large, ("outlier",)),
    Corruption("one σ transposed", "molecules", in_one(lambda v, _: v.swapaxes(1, 2), ("ms",), 6), ("transposed",)),
    Corruption("one frame with δ for σ", "molecules", one_as_shifts, ("sign",)),
    Corruption("all with δ for σ", "molecules", all_as_shifts, ("sign",)),
    Corruption("all σ as fractions", "molecules", in_all(lambda v: 1e-6 * v, ("ms",)), ("units",)),
    Corruption("a quarter by another functional", "molecules", another_functional, ("theory",)),
    Corruption("two atoms without labels", "molecules", in_one(unlabelled), ("unlabelled",)),
    Corruption("one cell's tensors turned by 90°", "solid solution", in_one(quarter_turn), ("symmetry", "rotated")),
    Corruption(
        "tensors of another configuration",
        "solid solution",
        another_configuration,
        ("swapped", "copied", "symmetry", "foreign"),
    ),
    Corruption("two O exchanged", "solid solution", exchanged_oxygen, ("permuted", "symmetry")),
    Corruption("a mixed site", "solid solution", mixed_site, ("occupancy",)),
    Corruption("a vacancy", "solid solution", vacancy, ("disorder",)),
    Corruption("a training cell in the test set", "solid solution", leaked, ("leak",)),
)
