"""The network: embedding of elements, message-passing layers, and a head for each target."""

from collections.abc import Mapping, Sequence
from math import isqrt

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.errors import InputError
from efg_jax.network.architecture import Architecture
from efg_jax.network.couplings import Features, hidden_irreps
from efg_jax.network.edges import Edges
from efg_jax.network.heads import IrrepHead, Parts, TensorProductHead
from efg_jax.network.interaction import Interaction
from efg_jax.network.linear import random_weights
from efg_jax.network.rows import kinds_of_atoms
from efg_jax.structures.environments import Environments

Outputs = Mapping[str, Sequence[Irrep]]
"""Irreducible parts of each target, by its name."""

Carried = tuple[tuple[Irrep, ...], ...]
"""Irreps of the embedding and of the features after each layer."""


class Network(eqx.Module):
    """Equivariant message passing, with a head for each target.

    The layers are those of NequIP (Batzner et al. 2022), the heads those of Ben Mahmoud et al. 2024. A pure function
    of its weights and the environments. Targets share everything but their heads.
    """

    embedding: Float[Array, "species channels"]
    interactions: list[Interaction]
    heads: dict[str, IrrepHead | TensorProductHead]
    architecture: Architecture = eqx.field(static=True)
    irreps: Carried = eqx.field(static=True)

    def __init__(self, architecture: Architecture, outputs: Outputs, key: PRNGKeyArray, irreps: Carried | None = None):
        """Random weights.

        Args:
            architecture: sizes.
            outputs: irreducible parts of each target.
            key: the same key gives the same network.
            irreps: of embedding and layers; None: those that the outputs need. (After fine-tuning the heads may need
                fewer.)

        Raises:
            InputError: no targets, or one with parts that these features cannot make.
        """
        if not outputs:
            raise InputError("the network has nothing to predict; name at least one target")
        irreps = irreps or hidden_irreps(architecture.lmax, architecture.layers, wanted(architecture, outputs))
        _check_reached(architecture, irreps[-1], outputs)
        keys = jax.random.split(key, 1 + architecture.layers + len(outputs))
        self.embedding = random_weights(keys[0], (len(architecture.species), architecture.channels))
        self.interactions = [
            Interaction(architecture, before, after, k)
            for before, after, k in zip(irreps[:-1], irreps[1:], keys[1:], strict=False)
        ]
        self.heads = {
            name: _head(architecture, outputs[name], k)
            for name, k in zip(sorted(outputs), keys[1 + architecture.layers :], strict=True)
        }
        self.architecture, self.irreps = architecture, irreps

    def with_heads(self, outputs: Outputs, key: PRNGKeyArray) -> "Network":
        """The same layers with heads for these targets: known heads as they are, new ones with random weights.

        Raises:
            InputError: a part of a target that the features of the last layer do not make.
        """
        advice = "these layers were trained without it: train a network for both"
        _check_reached(self.architecture, self.interactions[-1].results, outputs, advice)
        keys = jax.random.split(key, len(outputs))
        heads = {
            name: self.heads[name] if name in self.heads else _head(self.architecture, outputs[name], k)
            for name, k in zip(sorted(outputs), keys, strict=True)
        }
        return eqx.tree_at(lambda network: network.heads, self, heads)

    def calibrated(self, environments: Environments) -> "Network":
        """The same weights, in units in which the messages of these environments have size one.

        See `Interaction.calibrated`.
        """
        features, species, edges = self._embedded(environments)
        rows = jnp.asarray(environments.centre_mask)
        present = jnp.zeros(len(environments.positions), bool).at[edges.centre].max(rows)
        interactions = []
        for interaction in self.interactions:
            layer, features = interaction.calibrated(features, species, edges, present)
            interactions.append(layer)
        return eqx.tree_at(lambda network: network.interactions, self, interactions)

    @property
    def units(self) -> list:  # of arrays, or of what stands for them in trees of the same kind
        """Sizes of messages, one array over couplings for each layer: measured (`calibrated`), not learned."""
        return [layer.sizes for layer in self.interactions]

    def __call__(self, environments: Environments) -> dict[str, Parts]:
        """Irreducible parts of each target for every atom, in units of the standardised labels.

        Args:
            environments: of all atoms of the structures (`structures.environments` without centres), with at least the
                architecture's cutoff; `in_rows` gives the same with less padding.

        Returns:
            Components m = −λ..λ by target and irrep, one row an atom; rows of padding mean nothing.
        """
        features, species, edges = self._embedded(environments)
        for interaction in self.interactions:
            features = interaction(features, species, edges)
        return {name: head(features) for name, head in self.heads.items()}

    def _embedded(self, environments: Environments) -> tuple[Features, Int[Array, " atoms"], Edges]:
        """Features of the elements, the elements, and the edges."""
        edges = Edges.of(environments, self.architecture.lmax, self.architecture.cutoff)
        species = kinds_of_atoms(environments)
        return {INVARIANT: self.embedding[species][:, None, :]}, species, edges


def wanted(architecture: Architecture, outputs: Outputs) -> tuple[Irrep, ...]:
    """Irreps of the features that the heads read."""
    if architecture.decomposition == "products":
        return ((architecture.product_order, 1),)
    return tuple(dict.fromkeys(irrep for irreps in outputs.values() for irrep in irreps))


def check_makes(architecture: Architecture, outputs: Outputs) -> None:
    """Check that a network of these sizes can make every part of every target.

    Raises:
        InputError: it does not.
    """
    carried = hidden_irreps(architecture.lmax, architecture.layers, wanted(architecture, outputs))
    _check_reached(architecture, carried[-1], outputs)


def _head(architecture: Architecture, irreps: Sequence[Irrep], key: PRNGKeyArray) -> IrrepHead | TensorProductHead:
    if architecture.decomposition == "products":
        count = isqrt(architecture.products)
        return TensorProductHead(architecture.channels, irreps, architecture.product_order, count, key)
    return IrrepHead(architecture.channels, irreps, key)


def _check_reached(
    architecture: Architecture, reached: Sequence[Irrep], outputs: Outputs, advice: str | None = None
) -> None:
    """Check that every part of every target follows from features of these irreps."""
    for name, irreps in outputs.items():
        for order, parity in irreps:
            if architecture.decomposition == "products":  # natural ⊗ natural of one order
                made = parity == (-1) ** order and order <= 2 * architecture.product_order
            else:
                made = (order, parity) in reached
            if not made:
                if advice is None and architecture.decomposition == "products" and parity != (-1) ** order:
                    advice = "products of two equal orders never do; take decomposition='irreps'"
                advice = advice or ("take a higher lmax" if order > architecture.lmax else "take one layer more")
                raise InputError(
                    f"'{name}' has a part of order {order} ({'natural' if parity == 1 else 'pseudo'} parity), which "
                    f"{architecture.layers} layers of lmax = {architecture.lmax} do not make; {advice}"
                )
