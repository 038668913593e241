"""Trained networks with their units and histories, and how they are saved."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from efg_jax.descriptors import Irrep
from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.network.architecture import Architecture
from efg_jax.network.backbone import Carried, Network
from efg_jax.network.standard_units import Standard
from efg_jax.network.training_history import History
from efg_jax.structures.targets import Target


class Committee(eqx.Module):
    """One network, or several that differ in their seed, with all that predictions need."""

    architecture: Architecture = eqx.field(static=True)
    targets: dict[str, Target] = eqx.field(static=True)
    standards: dict[str, Standard]
    scales: dict[str, dict[str, Scale]] = eqx.field(static=True)  # of EFG targets, by element: μ and σ of |V_zz|
    networks: tuple[Network, ...]
    histories: tuple[History, ...] = eqx.field(static=True)

    def species_of(self, target: str) -> list[str]:
        """Elements whose atoms had labels of a target."""
        labelled = self.standards[target].labelled
        return [symbol for symbol, found in zip(self.architecture.species, labelled, strict=True) if found]

    @property
    def species(self) -> list[str]:
        """Elements whose atoms had labels of any target."""
        return [s for s in self.architecture.species if any(s in self.species_of(name) for name in self.targets)]

    def pack(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON values and arrays; `unpack` is the inverse."""
        arrays = {}
        for i, (network, history) in enumerate(zip(self.networks, self.histories, strict=True)):
            arrays |= {f"network/{i}/{j}": np.asarray(leaf) for j, leaf in enumerate(jax.tree.leaves(network))}
            arrays |= {f"of/{i}/{name}": values for name, values in history.arrays().items()}
        for name, standard in self.standards.items():
            arrays |= {f"standard/{name}/{key}": values for key, values in standard.pack().items()}
        header = {
            "targets": {name: target.to_dict() for name, target in self.targets.items()},
            "scales": {
                name: {symbol: [float(scale.mean), float(scale.std)] for symbol, scale in scales.items()}
                for name, scales in self.scales.items()
            },
            "networks": len(self.networks),
            "irreps": self.networks[0].irreps,
        }
        return header, arrays

    @classmethod
    def unpack(
        cls, architecture: Architecture, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> "Committee":
        """Inverse of `pack`."""
        targets = {name: Target.from_dict(values) for name, values in header["targets"].items()}
        numbers = range(header["networks"])
        carried = tuple(tuple((order, parity) for order, parity in layer) for layer in header["irreps"])
        return cls(
            architecture,
            targets,
            {
                name: Standard.unpack(_below(arrays, f"standard/{name}/"), target.irreps)
                for name, target in targets.items()
            },
            {
                name: {symbol: Scale(*scale) for symbol, scale in scales.items()}
                for name, scales in header["scales"].items()
            },
            tuple(_network(architecture, outputs(targets), carried, _below(arrays, f"network/{i}/")) for i in numbers),
            tuple(History.from_arrays(_below(arrays, f"of/{i}/")) for i in numbers),
        )


def outputs(targets: Mapping[str, Target]) -> dict[str, tuple[Irrep, ...]]:
    """Irreducible parts by target."""
    return {name: target.irreps for name, target in targets.items()}


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Arrays with this prefix, by their names without it."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _network(
    architecture: Architecture, parts: Mapping[str, Sequence[Irrep]], carried: Carried, leaves: Mapping[str, np.ndarray]
) -> Network:
    """A network with these weights."""
    like = eqx.filter_eval_shape(Network, architecture, parts, jax.random.key(0), carried)
    shapes, structure = jax.tree.flatten(like)
    weights = [leaves[str(i)] for i in range(len(leaves))]
    if [w.shape for w in weights] != [s.shape for s in shapes]:
        raise InputError("the weights are those of another architecture")
    return jax.tree.unflatten(structure, [jnp.asarray(w, dtype=w.dtype) for w in weights])
