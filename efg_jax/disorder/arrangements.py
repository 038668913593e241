"""All arrangements of atoms on sites with given numbers of each species, counted and numbered exactly.

Sites that exclude each other (split positions) are never occupied together.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from math import factorial, prod
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from efg_jax.errors import InputError

VACANT = ""
LARGEST_CLUSTER = 4096  # ways to occupy sites that exclude each other
LARGEST_TABLE = 3_000_000  # steps of a count

Left = tuple[int, ...]
"""How many atoms of each species on each sublattice are still to be placed."""


class Sublattice(NamedTuple):
    """Sites that share a composition.

    Attributes:
        species: what occupies them; "" is a vacancy.
        counts: how many sites each of them occupies.
        sites: numbers of the sites.
    """

    species: tuple[str, ...]
    counts: tuple[int, ...]
    sites: Int[np.ndarray, " sites"]


class Arrangements:
    """The arrangements of all sublattices, numbered from 0.

    Sublattices that no exclusion connects are independent. Among connected ones, the sites that exclude each other form
    clusters; the ways to complete an arrangement are counted cluster by cluster from what is left to place.

    Args:
        sublattices: they share no site; sites are numbered from 0 through all of them.
        exclusions: pairs of sites of which one must be vacant.

    Attributes:
        total: the number of arrangements.

    Raises:
        InputError: too many sites exclude each other in one cluster to be counted.
    """

    def __init__(self, sublattices: Sequence[Sublattice], exclusions: Sequence[tuple[int, int]] = ()):
        self.sublattices = list(sublattices)
        self.size = sum(len(sublattice.sites) for sublattice in sublattices)
        owner = np.zeros(self.size, dtype=int)
        for number, sublattice in enumerate(sublattices):
            owner[sublattice.sites] = number
        pairs = np.array(sorted(exclusions), dtype=int).reshape(-1, 2)
        linked = _components(owner[pairs], len(self.sublattices))
        cluster = _components(pairs, self.size)
        self._blocks = [_Block(self.sublattices, members, cluster, pairs) for members in _members(linked)]
        self.total = prod(block.total for block in self._blocks)

    def __getitem__(self, number: int) -> Int[np.ndarray, " sites"]:
        """The arrangement of this number: the place of each site's species among those of its sublattice."""
        if not 0 <= number < self.total:
            raise IndexError(number)
        chosen = np.zeros(self.size, dtype=np.int8)
        for block in reversed(self._blocks):
            number, own = divmod(number, block.total)
            block.put(own, chosen)
        return chosen

    def __iter__(self) -> Iterator[Int[np.ndarray, " sites"]]:
        return (self[number] for number in range(self.total))


class _Block:
    """Sublattices that exclusions connect."""

    def __init__(self, sublattices: Sequence[Sublattice], members: np.ndarray, cluster: np.ndarray, pairs: np.ndarray):
        own = [sublattices[number] for number in members]
        # One counter for each species of each sublattice; a site may take those of its own.
        first = np.cumsum([0, *(len(one.species) for one in own)])
        self._counts: Left = tuple(count for one in own for count in one.counts)
        choices = {int(s): range(first[k], first[k + 1]) for k, one in enumerate(own) for s in one.sites}
        self._first = {int(s): int(first[k]) for k, one in enumerate(own) for s in one.sites}
        vacant = {
            int(first[k]) + i for k, one in enumerate(own) for i, name in enumerate(one.species) if name == VACANT
        }
        sites = np.array(sorted(choices))
        groups = [sites[index].tolist() for index in _members(cluster[sites])]
        barred = {(int(a), int(b)) for a, b in pairs} | {(int(b), int(a)) for a, b in pairs}
        self._clusters = [(group, _states(group, choices, vacant, barred)) for group in groups if len(group) > 1]
        self._singles = [[site for (site,) in (g for g in groups if len(g) == 1) if site in set(one.sites.tolist())]
                         for one in own]  # fmt: skip
        self._parts = [range(first[k], first[k + 1]) for k in range(len(own))]
        self._ways = self._table()
        self.total = self._ways[0].get(self._counts, 0)

    def put(self, number: int, chosen: np.ndarray) -> None:
        """Write the arrangement of this number into ``chosen``."""
        left = self._counts
        for place, (group, states) in enumerate(self._clusters):
            for state in states:
                after = _minus(left, Counter(state))
                ways = self._ways[place + 1].get(after, 0) if after is not None else 0
                if number < ways:
                    break
                number -= ways
            left = after
            for site, species in zip(group, state, strict=True):
                chosen[site] = species - self._first[site]
        for part, sites in zip(self._parts, self._singles, strict=True):
            counts = [left[k] for k in part]
            ways = _multinomial(counts)
            number, own = divmod(number, ways)
            for remaining, site in zip(range(len(sites), 0, -1), sites, strict=True):
                species, here = 0, ways * counts[0] // remaining  # arrangements of the rest with this species here
                while own >= here:
                    own, species = own - here, species + 1
                    here = ways * counts[species] // remaining
                counts[species] -= 1
                ways, chosen[site] = here, species

    def _table(self) -> list[dict[Left, int]]:
        """Before each cluster, and after the last, the number of ways to complete an arrangement from what is left."""
        changes = [Counter(tuple(sorted(Counter(state).items())) for state in states) for _, states in self._clusters]
        reached, steps = [{self._counts}], 0
        for change in changes:
            steps += len(reached[-1]) * len(change)
            if steps > LARGEST_TABLE:
                raise InputError(
                    "too many sites exclude each other to count their arrangements; take a smaller supercell, or a "
                    "smaller min_distance"
                )
            after = {_minus(left, dict(taken)) for left in reached[-1] for taken in change}
            reached.append(after - {None})
        ways = [{left: self._completions(left) for left in reached[-1]}]
        for change, lefts in zip(reversed(changes), reversed(reached[:-1]), strict=True):
            rest = ways[0]
            ways.insert(0, {
                left: sum(number * rest.get(_minus(left, dict(taken)), 0) for taken, number in change.items())
                for left in lefts
            })  # fmt: skip
        return ways

    def _completions(self, left: Left) -> int:
        """Arrangements of the sites that exclude none."""
        counts = [[left[k] for k in part] for part in self._parts]
        fits = all(sum(own) == len(sites) for own, sites in zip(counts, self._singles, strict=True))
        return prod(map(_multinomial, counts)) if fits else 0


def _states(group: list[int], choices: dict[int, range], vacant: set[int], barred: set[tuple[int, int]]) -> list[Left]:
    """All ways to occupy the sites of a cluster."""
    states: list[Left] = [()]
    for place, site in enumerate(group):
        against = [k for k, other in enumerate(group[:place]) if (other, site) in barred]
        states = [
            (*state, species)
            for state in states
            for species in choices[site]
            if species in vacant or all(state[k] in vacant for k in against)
        ]
        if len(states) > LARGEST_CLUSTER:
            raise InputError(
                f"{len(group)} sites that are too close to each other form one connected group; take a smaller "
                "min_distance"
            )
    return states


def _minus(left: Left, taken: dict[int, int]) -> Left | None:
    """What is left after a cluster has taken its atoms; None if there are not so many."""
    after = tuple(count - taken.get(k, 0) for k, count in enumerate(left))
    return after if min(after, default=0) >= 0 else None


def _multinomial(counts: Sequence[int]) -> int:
    return factorial(sum(counts)) // prod(map(factorial, counts))


def _components(pairs: np.ndarray, size: int) -> np.ndarray:
    """Number of the connected component of each of ``size`` things."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    return connected_components(links, directed=False)[1]


def _members(component: np.ndarray) -> list[np.ndarray]:
    return [np.flatnonzero(component == number) for number in np.unique(component)]
