"""What a study is about: which tensors, of which element, in which structures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

import efg_jax as ej

KINDS = {"efg": "field gradients", "ms": "shieldings"}


@dataclass(frozen=True)
class Subject:
    """Tensors of one element.

    Attributes:
        data: name of a data set that ships, or a file.
        species: the element.
        target: array of the labels: "efg" or "ms".
    """

    data: str
    species: str
    target: str

    def load(self) -> list[Atoms]:
        """The structures."""
        return (
            ej.datasets.load(self.data)
            if self.data in ej.datasets.names()
            else ej.io.read(Path(self.data), target=self.target)
        )

    @property
    def title(self) -> str:
        """In words."""
        return f"{KINDS[self.target]} of {self.species} in {Path(self.data).name}"


def species_of(frames: Sequence[Atoms]) -> tuple[str, ...]:
    """All elements."""
    return tuple(sorted({str(symbol) for atoms in frames for symbol in atoms.symbols}))
