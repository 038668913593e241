"""Irreps of the features of each layer, and the couplings between them.

An irrep is (order l, parity) as everywhere in this library: parity +1 is natural, that of the spherical harmonics
(0e, 1o, 2e in the notation of e3nn), −1 the other one (0o, 1e, 2o). The antisymmetric part of a shielding tensor is
(1, −1).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep

Features = dict[Irrep, Float[Array, "atoms _ _"]]
"""Features by irrep: (atoms, components m = −l..l, channels)."""


class Coupling(NamedTuple):
    """Features of a neighbour times the harmonics of the direction to it give another irrep."""

    source: Irrep
    order: int  # of the harmonic
    result: Irrep


def couplings(sources: Iterable[Irrep], results: Iterable[Irrep], lmax: int) -> tuple[Coupling, ...]:
    """Every coupling of these irreps with harmonics up to ``lmax`` to one of the results, sorted by result.

    Couplings obey the triangle rule and parity: natural ⊗ natural is natural where l1 + l2 + l3 is even.
    """
    sources = tuple(sources)
    return tuple(
        Coupling(source, order, result)
        for result in results
        for source in sources
        for order in range(abs(source[0] - result[0]), min(source[0] + result[0], lmax) + 1)
        if source[1] * result[1] == (-1) ** (source[0] + order + result[0])
    )


def hidden_irreps(lmax: int, layers: int, wanted: Sequence[Irrep]) -> tuple[tuple[Irrep, ...], ...]:
    """Irreps of each layer: those that the elements can reach and that contribute to the irreps wanted.

    Nothing is computed that no output depends on: two layers that predict field gradients have natural irreps only,
    and the second of them λ = 2 and invariants.

    Args:
        lmax: highest order of features and harmonics.
        layers: number of interactions.
        wanted: irreps that the heads use.

    Returns:
        Irreps of the embedding and after each layer, sorted. Invariants are always among them, as they gate the others.
    """
    every = [(order, parity) for order in range(lmax + 1) for parity in (1, -1)]
    reached = [{INVARIANT}]
    for _ in range(layers):
        reached.append(reached[-1] | {coupling.result for coupling in couplings(reached[-1], every, lmax)})
    needed = [{INVARIANT, *wanted}]
    for _ in range(layers):
        needed.append(needed[-1] | {coupling.source for coupling in couplings(every, needed[-1], lmax)})
    return tuple(tuple(sorted(have & need, key=_order)) for have, need in zip(reached, reversed(needed), strict=True))


def _order(irrep: Irrep) -> tuple[int, int]:
    return irrep[0], -irrep[1]
