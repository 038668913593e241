"""What fitted networks say of structures, streamed: whole structures, several small ones at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.io.checks import checked
from efg_jax.models.basis import cast
from efg_jax.models.prediction import Choice, Predicted
from efg_jax.network.backbone import Network
from efg_jax.network.fitted import FittedNetworks
from efg_jax.precision import float64
from efg_jax.structures import Environments, environments
from efg_jax.targets import Target, from_channels

TOGETHER = 256
"""Atoms that are worked on at a time, where structures are smaller than that."""


def predict_stream(
    fitted: FittedNetworks,
    target: Target,
    structures: Atoms | Iterable[Atoms],
    *,
    variance: bool,
    precision: np.dtype,
    species: Sequence[str] | None,
    indices: Sequence[int] | None,
) -> Iterator[Predicted]:
    """One prediction a structure, in their order; see `EquivariantNetwork.predict_stream`. Options are checked at once."""
    choose = Choice(fitted.known(target.name), species, indices)
    networks = [cast(network, precision) for network in fitted.networks]
    return _stream(fitted, target, networks, checked(structures), choose, variance, precision)


def _stream(fitted, target, networks, structures, choose, variance, precision) -> Iterator[Predicted]:
    for together in _grouped(structures):
        values, spreads = _tensors(fitted, target, networks, [atoms for _, atoms in together], precision)
        first = 0
        for number, atoms in together:
            chosen = np.sort(np.concatenate([np.zeros(0, dtype=int), *choose(number, atoms).values()]))
            rows = slice(first, first + len(atoms))
            first += len(atoms)
            own = np.full((len(atoms), *target.shape), np.nan)
            own[chosen] = values[rows][chosen]
            spread = None
            if variance:
                spread = np.full(len(atoms), np.nan)
                spread[chosen] = spreads[rows][chosen]
            yield Predicted(atoms, own, spread, chosen)


def _grouped(structures: Iterator[Atoms]) -> Iterator[list[tuple[int, Atoms]]]:
    """Structures with their numbers, as many at a time as have few atoms together."""
    waiting: list[tuple[int, Atoms]] = []
    for number, atoms in enumerate(structures):
        if waiting and sum(len(a) for _, a in waiting) + len(atoms) > TOGETHER:
            yield waiting
            waiting = []
        waiting.append((number, atoms))
    if waiting:
        yield waiting


def _tensors(
    fitted: FittedNetworks,
    target: Target,
    networks: Sequence[Network],
    structures: Sequence[Atoms],
    precision: np.dtype,
) -> tuple[Float[np.ndarray, "atoms *shape"], Float[np.ndarray, " atoms"]]:
    """Mean over the networks of what they predict for all atoms, and the variance, summed over components."""
    architecture = fitted.architecture
    batch = environments(structures, architecture.cutoff, architecture.species)
    atoms = sum(map(len, structures))
    kinds = np.asarray(batch.centre_species)[:atoms]
    with float64(precision == np.float64):
        device = jax.tree.map(jnp.asarray, cast(batch, precision))
        found = [predicted_parts(network, device, target.name) for network in networks]
    values = []
    for parts in found:
        own = {irrep: np.asarray(part, dtype=np.float64)[:atoms] for irrep, part in parts.items()}
        values.append(from_channels(target, fitted.standards[target.name].restored(own, kinds)))
    spread = np.var(values, axis=0, ddof=1 if len(values) > 1 else 0)
    return np.mean(values, axis=0), spread.reshape(atoms, -1).sum(axis=1)


@eqx.filter_jit
def predicted_parts(network: Network, environments: Environments, target: str) -> Mapping:
    """Compiled prediction of one target in standard units."""
    return network(environments)[target]
