"""One round of messages: each atom sums what it hears of its neighbours, direction and distance included."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.network.activations import silu, tanh
from efg_jax.network.architecture import Architecture
from efg_jax.network.edges import Edges
from efg_jax.network.irreps import Coupling, Features, couplings
from efg_jax.network.linear import Linear, SpeciesLinear, add
from efg_jax.network.radial import RadialNetwork
from efg_jax.tensors.coupling import real_clebsch_gordan

BLOCK = 128
"""Rows of neighbours that are worked on at a time."""


class Interaction(eqx.Module):
    """NequIP's interaction block and gate (Batzner et al. 2022, Fig. 1): linear, messages, linear, self-connection, gate.

    A message of neighbour j is Σ R(r_ij) (Y^l2(r̂_ij) ⊗ x_j^l1)^l3, with a weight R for every coupling and channel.
    """

    before: Linear
    radial: RadialNetwork
    after: Linear
    self_connection: SpeciesLinear
    couplings: tuple[Coupling, ...] = eqx.field(static=True)
    results: tuple[Irrep, ...] = eqx.field(static=True)
    neighbours: float = eqx.field(static=True)

    def __init__(
        self, architecture: Architecture, inputs: tuple[Irrep, ...], results: tuple[Irrep, ...], key: PRNGKeyArray
    ):
        """Random weights for a layer between these irreps."""
        keys = jax.random.split(key, 4)
        channels = architecture.channels
        self.results, self.neighbours = results, architecture.neighbours
        self.couplings = couplings(inputs, results, architecture.lmax)
        entering = dict.fromkeys(inputs, channels)
        heard = {irrep: channels * sum(c.result == irrep for c in self.couplings) for irrep in results}
        leaving = dict.fromkeys(results, channels) | {INVARIANT: channels * (1 + len(self._gated))}
        self.before = Linear(entering, entering, keys[0])
        self.radial = RadialNetwork(architecture, channels * len(self.couplings), keys[1])
        self.after = Linear({irrep: count for irrep, count in heard.items() if count}, leaving, keys[2])
        self.self_connection = SpeciesLinear(len(architecture.species), entering, leaving, keys[3])

    def __call__(self, features: Features, species: Int[Array, " atoms"], edges: Edges) -> Features:
        """Features after this layer."""
        heard = self._heard(self.before(features), edges)
        return self._gate(add(self.after(heard), self.self_connection(features, species)))

    def _heard(self, features: Features, edges: Edges) -> Features:
        """Sum of the messages to each atom."""
        atoms = features[INVARIANT].shape[0]
        scale = self.neighbours**-0.5
        return {
            irrep: scale * jax.ops.segment_sum(rows, edges.centre, atoms)
            for irrep, rows in self._heard_by_rows(features, edges).items()
        }

    def _heard_by_rows(self, features: Features, edges: Edges) -> dict[Irrep, Float[Array, "rows _ _"]]:
        """Their sum over each row, block by block: what is made of a block's pairs stays in the cache, and memory does not grow with them."""
        rows = edges.distance.shape[0]
        block = min(rows & -rows, BLOCK)  # sizes are a power of two, or three times one
        if rows == block:
            return self._heard_of(features, edges)
        blocks = jax.tree.map(lambda values: values.reshape(-1, block, *values.shape[1:]), edges)
        heard = lax.map(lambda own: self._heard_of(features, own), blocks)
        return jax.tree.map(lambda values: values.reshape(rows, *values.shape[2:]), heard)

    def _heard_of(self, features: Features, edges: Edges) -> dict[Irrep, Float[Array, "block _ _"]]:
        """Sum of the messages of each row of a block, the couplings of an irrep one after another along its channels."""
        weights = self.radial(edges.distance)
        spoken = {irrep: values[edges.neighbour] for irrep, values in features.items()}
        parts: dict[Irrep, list] = {}
        for weight, coupling in zip(jnp.split(weights, len(self.couplings), axis=-1), self.couplings, strict=True):
            message = _messages(coupling, weight, edges.harmonics[coupling.order], spoken[coupling.source])
            parts.setdefault(coupling.result, []).append(message)
        return {irrep: jnp.concatenate(found, axis=-1) for irrep, found in parts.items()}

    def _gate(self, features: Features) -> Features:
        """Invariants through silu; all else times invariants that are there for it, pseudoscalars besides through tanh."""
        own, *gates = jnp.split(features[INVARIANT], 1 + len(self._gated), axis=-1)
        gated = {irrep: features[irrep] * silu(gate) for irrep, gate in zip(self._gated, gates, strict=True)}
        pseudoscalars = {irrep: tanh(features[irrep]) for irrep in self.results if irrep == (0, -1)}
        return {INVARIANT: silu(own)} | pseudoscalars | gated

    @property
    def _gated(self) -> tuple[Irrep, ...]:
        return tuple(irrep for irrep in self.results if irrep[0] > 0)


def _messages(
    coupling: Coupling,
    weight: Float[Array, "rows neighbours channels"],
    harmonic: Float[Array, "rows neighbours _"],
    spoken: Float[Array, "rows neighbours _ channels"],
) -> Float[Array, "rows _ channels"]:
    """Σ_j R(r_ij) (Y(r̂_ij) ⊗ x_j) of one coupling.

    The harmonics are coupled first: then the sum over neighbours and over the components of what they say is one matrix product a row.
    """
    tensor = jnp.asarray(real_clebsch_gordan(coupling.source[0], coupling.order, coupling.result[0]), harmonic.dtype)
    matrices = jnp.einsum("umh,anh->aunm", tensor, harmonic, precision=lax.Precision.HIGHEST)
    weighted = spoken * weight[:, :, None, :]
    return jnp.einsum("aunm,anmc->auc", matrices, weighted)
