"""Predictions of fitted networks, streamed: whole structures, several small ones at a time."""

from collections.abc import Iterable, Iterator, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.models.predicted import Choice, Predicted, PredictionOptions, Variance
from efg_jax.network.backbone import Network
from efg_jax.network.committee import Committee
from efg_jax.network.heads import Parts
from efg_jax.network.rows import filled, in_rows
from efg_jax.precision import cast
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Environments, environments, species_of
from efg_jax.structures.targets import Target, from_irreps

TOGETHER = 256
"""Number of atoms that are predicted at a time, unless one structure has more."""


def predict_stream(
    fitted: Committee, targets: Sequence[Target], structures: Atoms | Iterable[Atoms], options: PredictionOptions
) -> Iterator[dict[str, Predicted]]:
    """Predictions of several targets by name, structure by structure; see `FittedModel.predict_targets`.

    Options are checked at once. A network runs once for all targets.
    """
    choices = {target.name: _choice(fitted, target, options, len(targets) > 1) for target in targets}
    if options.chunk != "auto" and options.chunk < 1:
        raise InputError(f"chunk must be a positive number of atoms or 'auto', got {options.chunk}")
    most = TOGETHER if options.chunk == "auto" else options.chunk
    together = _grouped(checked(structures), fitted.architecture.species, most)
    networks = [cast(network, options.dtype) for network in fitted.networks]
    return _stream(fitted, targets, networks, together, choices, options)


def _choice(fitted: Committee, target: Target, options: PredictionOptions, several: bool) -> Choice:
    """Atoms that are predicted; each of several targets is predicted for the elements that it was trained for."""
    known, species = fitted.species_of(target.name), options.species
    if several and species is not None:
        wanted = [species] if isinstance(species, str) else species
        Choice(fitted.species, wanted, None)  # one target at least knows every element
        species = [symbol for symbol in wanted if symbol in known]
    return Choice(known, species, options.indices)


def _stream(fitted, targets, networks, groups, choices, options) -> Iterator[dict[str, Predicted]]:
    for together in groups:
        found = _tensors(fitted, targets, networks, [atoms for _, atoms in together], options.dtype, options.variance)
        first = 0
        for number, atoms in together:
            rows = slice(first, first + len(atoms))
            first += len(atoms)
            yield {
                name: _of_structure(
                    number, atoms, choices[name], values[rows], spreads[rows] if options.variance else None
                )
                for name, (values, spreads) in found.items()
            }


def _of_structure(number: int, atoms: Atoms, choose: Choice, values, spreads) -> Predicted:
    """Values of the chosen atoms, NaN for the others."""
    chosen = np.sort(np.concatenate([np.zeros(0, dtype=int), *choose(number, atoms).values()]))
    own = np.full(values.shape, np.nan)
    own[chosen] = values[chosen]
    spread = None
    if spreads is not None:
        spread = np.full(len(atoms), np.nan)
        spread[chosen] = spreads[chosen]
    return Predicted(atoms, own, spread, chosen)


def _grouped(structures: Iterator[Atoms], species: Sequence[str], most: int) -> Iterator[list[tuple[int, Atoms]]]:
    """Structures with their numbers, in groups of at most ``most`` atoms (or one structure); elements are checked."""
    waiting: list[tuple[int, Atoms]] = []
    for number, atoms in enumerate(structures):
        species_of(atoms, species, number)
        if waiting and sum(len(a) for _, a in waiting) + len(atoms) > most:
            yield waiting
            waiting = []
        waiting.append((number, atoms))
    if waiting:
        yield waiting


def _tensors(
    fitted: Committee,
    targets: Sequence[Target],
    networks: Sequence[Network],
    structures: Sequence[Atoms],
    precision: np.dtype,
    variance: Variance,
) -> dict[str, tuple[Float[np.ndarray, "atoms ..."], Float[np.ndarray, " atoms"]]]:
    """By target the mean of the networks for all atoms, and their variance: summed over components, or of the
    isotropic value.
    """
    architecture = fitted.architecture
    batch = filled(in_rows(environments(structures, architecture.cutoff, architecture.species, pad=False)))
    atoms = sum(map(len, structures))
    kinds = np.concatenate([species_of(own, architecture.species, number) for number, own in enumerate(structures)])
    device = jax.tree.map(jnp.asarray, cast(batch, precision))
    found = [predicted_parts(network, device) for network in networks]
    tensors = {}
    for target in targets:
        values = []
        for parts in found:
            own = {irrep: np.asarray(p, dtype=np.float64)[:atoms] for irrep, p in parts[target.name].items()}
            values.append(from_irreps(target, fitted.standards[target.name].restored(own, kinds)))
        counted = values
        if variance == "isotropic" and target.kind == "matrix":
            counted = [np.trace(value, axis1=-2, axis2=-1) / 3.0 for value in values]
        spread = np.var(counted, axis=0, ddof=1 if len(values) > 1 else 0)
        tensors[target.name] = np.mean(values, axis=0), spread.reshape(atoms, -1).sum(axis=1)
    return tensors


@eqx.filter_jit
def predicted_parts(network: Network, environments: Environments) -> dict[str, Parts]:
    """Prediction of all targets in standard units, compiled. A head costs little, another compilation much."""
    return network(environments)
