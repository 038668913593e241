"""Centres of a stream of structures in pieces of few shapes, which bounds memory and the number of compilations.

Structures come one by one. Their centres are dealt out to pieces that do not depend on the structures, and the computed
values are collected again, structure by structure and in order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import jax
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.environments import LEAST_NEIGHBOURS, Neighbours, species_of
from efg_jax.structures.neighbour_lists import neighbour_blocks

# Centres in a piece: enough for matrix products at full speed, few enough for its features to need little memory.
CPU_CHUNK, ACCELERATOR_CHUNK = 128, 4096
REMAINDER = 8  # the last centres go into pieces smaller by this factor
HELD_ATOMS = 100_000  # atoms of structures that wait for values, at most
IN_FLIGHT = 1  # pieces on the device while the host prepares the next


class Piece(NamedTuple):
    """Centres of one element, padded."""

    symbol: str
    neighbours: Neighbours  # float64, on the host
    structure: Int[np.ndarray, " real"]  # number of each real centre's structure
    atom: Int[np.ndarray, " real"]  # its index there


class Streamed(NamedTuple):
    """One structure with the values of its centres."""

    number: int
    atoms: Atoms
    centres: dict[str, Int[np.ndarray, " _"]]  # by element
    values: dict[str, Float[np.ndarray, "atoms ..."]]  # by name, NaN where an atom is no centre; empty without centres

    @property
    def described(self) -> Int[np.ndarray, " centres"]:
        """Indices of all centres, in ascending order."""
        return np.sort(np.concatenate([np.zeros(0, dtype=int), *self.centres.values()]))


def chunk_size(chunk: int | Literal["auto"]) -> int:
    """Number of centres in a piece.

    Args:
        chunk: a number, or "auto" for what suits the device.

    Raises:
        InputError: it is not positive.
    """
    if chunk == "auto":
        return CPU_CHUNK if jax.default_backend() == "cpu" else ACCELERATOR_CHUNK
    if chunk < 1:
        raise InputError(f"chunk must be a number of atoms from 1, or 'auto', got chunk = {chunk}")
    return chunk


def stream(
    structures: Iterable[Atoms],
    choose: Callable[[int, Atoms], Mapping[str, Int[np.ndarray, " _"]]],
    evaluate: Callable[[str, Neighbours], Mapping[str, Array]],
    cutoff: float,
    species: Sequence[str],
    chunk: int,
) -> Iterator[Streamed]:
    """Evaluate the centres of structures, and yield each structure when all of its values are there.

    A bounded number of atoms is held at any time (`HELD_ATOMS`, or one structure). The neighbours of a structure are
    listed block by block. The host prepares a piece while the device works on the one before.

    Args:
        structures: any iterable; taken one by one.
        choose: number and structure → indices of the centres by element.
        evaluate: element and piece → values by name, one row per centre; the arrays may still be computing.
        cutoff: Å.
        species: elements of the descriptor.
        chunk: number of centres in a piece.

    Raises:
        InputError: a structure with centres contains an element that is not among the species.
    """
    dealer, ledger = Dealer(cutoff, species, chunk), _Ledger(evaluate)
    for number, atoms in enumerate(structures):
        chosen = {symbol: np.asarray(index) for symbol, index in choose(number, atoms).items() if len(index)}
        ledger.enter(number, atoms, chosen)
        ledger.run(dealer.add(number, atoms, chosen))
        if ledger.atoms > HELD_ATOMS:
            ledger.run(dealer.rest())
        yield from ledger.complete()
    ledger.run(dealer.rest())
    ledger.settle(0)
    yield from ledger.complete()


class Dealer:
    """Deals the centres of structures out to pieces of one element each.

    A piece has ``chunk`` centres (fewer at the end). The number of neighbours is padded to a power of two that only
    grows, so that few shapes occur.

    Args:
        cutoff, species, chunk: as for `stream`.
        remainder: the last centres go into pieces smaller by this factor.
    """

    def __init__(self, cutoff: float, species: Sequence[str], chunk: int, remainder: int = REMAINDER):
        self._cutoff, self._species, self._chunk = cutoff, tuple(species), chunk
        self._small = max(chunk // remainder, 1)
        self._buffers: dict[str, _Rows] = {}
        self._width = LEAST_NEIGHBOURS

    def add(self, number: int, atoms: Atoms, centres: Mapping[str, Int[np.ndarray, " _"]]) -> Iterator[Piece]:
        """Add one structure, and yield the pieces that are full.

        Args:
            number: identifies its centres.
            atoms: structure.
            centres: indices by element.
        """
        if not centres:
            return
        kinds = species_of(atoms, self._species, number)
        for pairs in neighbour_blocks(atoms, np.concatenate(list(centres.values())), self._cutoff):
            displacements = pairs.displacements(atoms)
            for symbol in centres:
                own = kinds[pairs.centres] == self._species.index(symbol)
                of_own = own[pairs.row]
                rows = _Rows(
                    np.full(int(own.sum()), number),
                    pairs.centres[own],
                    pairs.count[own],
                    displacements[of_own],
                    kinds[pairs.neighbour[of_own]],
                )
                held = self._buffers.pop(symbol, None)
                self._buffers[symbol] = rows if held is None else _joined(held, rows)
                yield from self._pieces(symbol, self._chunk)

    def rest(self) -> Iterator[Piece]:
        """Yield the remaining centres in small pieces, the last of each element padded."""
        for symbol in list(self._buffers):
            yield from self._pieces(symbol, self._small)
            rows = self._buffers.pop(symbol)
            if len(rows.atom):
                yield self._piece(symbol, rows, self._small)

    def _pieces(self, symbol: str, size: int) -> Iterator[Piece]:
        while len(self._buffers[symbol].atom) >= size:
            rows, self._buffers[symbol] = self._buffers[symbol].split(size)
            yield self._piece(symbol, rows, size)

    def _piece(self, symbol: str, rows: "_Rows", size: int) -> Piece:
        self._width = max(self._width, 1 << (int(rows.count.max()) - 1).bit_length() if rows.count.any() else 1)
        row = np.repeat(np.arange(len(rows.count)), rows.count)
        column = np.arange(len(row)) - np.repeat(np.cumsum(rows.count) - rows.count, rows.count)
        displacements = np.zeros((size, self._width, 3))
        species = np.zeros((size, self._width), dtype=np.int32)
        mask = np.zeros((size, self._width), dtype=bool)
        displacements[row, column], species[row, column], mask[row, column] = rows.displacements, rows.species, True
        real = np.arange(size) < len(rows.atom)
        code = np.where(real, self._species.index(symbol), 0).astype(np.int32)
        return Piece(symbol, Neighbours(displacements, species, mask, code, real), rows.structure, rows.atom)


class _Rows(NamedTuple):
    """Centres, and the neighbours of all of them one after the other."""

    structure: np.ndarray
    atom: np.ndarray
    count: np.ndarray  # neighbours of each
    displacements: np.ndarray
    species: np.ndarray

    def split(self, size: int) -> tuple["_Rows", "_Rows"]:
        """The first ``size`` centres, and the others."""
        ends = (size, size, size, *[int(self.count[:size].sum())] * 2)
        return (
            _Rows(*(part[:end] for part, end in zip(self, ends, strict=True))),
            _Rows(*(part[end:] for part, end in zip(self, ends, strict=True))),
        )


def _joined(first: _Rows, second: _Rows) -> _Rows:
    return _Rows(*(np.concatenate(parts) for parts in zip(first, second, strict=True)))


@dataclass
class _Waiting:
    """A structure and its values so far."""

    atoms: Atoms
    centres: dict[str, np.ndarray]
    missing: int
    values: dict[str, np.ndarray] = field(default_factory=dict)


class _Ledger:
    """Structures that wait for values."""

    def __init__(self, evaluate: Callable[[str, Neighbours], Mapping[str, Array]]):
        self._evaluate = evaluate
        self._waiting: dict[int, _Waiting] = {}
        self._in_flight: deque[tuple[Piece, Mapping[str, Array]]] = deque()
        self.atoms = 0  # of the structures that wait

    def enter(self, number: int, atoms: Atoms, centres: dict[str, np.ndarray]) -> None:
        """Add a structure."""
        self._waiting[number] = _Waiting(atoms, centres, sum(map(len, centres.values())))
        self.atoms += len(atoms)

    def run(self, pieces: Iterable[Piece]) -> None:
        """Hand pieces to the device, and collect those that are done."""
        for piece in pieces:
            self._in_flight.append((piece, self._evaluate(piece.symbol, piece.neighbours)))
            self.settle(IN_FLIGHT)

    def settle(self, left: int) -> None:
        """Collect all pieces but the last ``left``."""
        while len(self._in_flight) > left:
            piece, values = self._in_flight.popleft()
            for name, value in values.items():
                self._scatter(piece, name, np.asarray(value)[: len(piece.atom)])
            for number, count in zip(*np.unique(piece.structure, return_counts=True), strict=True):
                self._waiting[number].missing -= int(count)

    def _scatter(self, piece: Piece, name: str, rows: np.ndarray) -> None:
        first = np.flatnonzero(np.diff(piece.structure, prepend=-1))
        for part in np.split(np.arange(len(rows)), first[1:]):
            waiting = self._waiting[int(piece.structure[part[0]])]
            if name not in waiting.values:
                waiting.values[name] = np.full((len(waiting.atoms), *rows.shape[1:]), np.nan)
            waiting.values[name][piece.atom[part]] = rows[part]

    def complete(self) -> Iterator[Streamed]:
        """Yield the structures at the front that have all values."""
        while self._waiting and (first := next(iter(self._waiting.items())))[1].missing == 0:
            number, waiting = first
            del self._waiting[number]
            self.atoms -= len(waiting.atoms)
            yield Streamed(number, waiting.atoms, waiting.centres, waiting.values)
