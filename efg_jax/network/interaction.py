"""One message-passing layer: each atom sums messages of its neighbours, which depend on distance and direction."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.network.activations import silu, tanh
from efg_jax.network.architecture import Architecture
from efg_jax.network.couplings import Coupling, Features, couplings
from efg_jax.network.edges import Edges
from efg_jax.network.linear import Linear, SpeciesLinear, add
from efg_jax.network.radial_weights import RadialNetwork
from efg_jax.tensors.coupling import real_clebsch_gordan

BLOCK = 128
"""Number of rows of neighbours that are computed at a time."""
LEAST = 0.03
"""Smallest size of a coupling over the largest in its layer. The messages of couplings that vanish by symmetry are
rounding errors; divided by their own size they would drown all others in the first structure that is less symmetric."""


class Interaction(eqx.Module):
    """NequIP's interaction block and gate (Batzner et al. 2022, Fig. 1).

    Linear map, messages, linear map, self-connection, gate. The message of neighbour j is Σ R(r_ij) (Y^l2(r̂_ij) ⊗
    x_j^l1)^l3, with a weight R for every coupling and channel.
    """

    before: Linear
    radial: RadialNetwork
    after: Linear
    self_connection: SpeciesLinear
    sizes: Float[Array, " couplings"]  # of the sums of messages; measured once, not trained
    couplings: tuple[Coupling, ...] = eqx.field(static=True)
    results: tuple[Irrep, ...] = eqx.field(static=True)

    def __init__(
        self, architecture: Architecture, inputs: tuple[Irrep, ...], results: tuple[Irrep, ...], key: PRNGKeyArray
    ):
        """Random weights for a layer between these irreps."""
        keys = jax.random.split(key, 4)
        channels = architecture.channels
        self.results, self.couplings = results, couplings(inputs, results, architecture.lmax)
        self.sizes = jnp.ones(len(self.couplings), jnp.float32)
        entering = dict.fromkeys(inputs, channels)
        received = {irrep: channels * sum(c.result == irrep for c in self.couplings) for irrep in results}
        leaving = dict.fromkeys(results, channels) | {INVARIANT: channels * (1 + len(self._gated))}
        self.before = Linear(entering, entering, keys[0])
        self.radial = RadialNetwork(architecture, channels * len(self.couplings), keys[1])
        self.after = Linear({irrep: count for irrep, count in received.items() if count}, leaving, keys[2])
        self.self_connection = SpeciesLinear(len(architecture.species), entering, leaving, keys[3])

    def __call__(self, features: Features, species: Int[Array, " atoms"], edges: Edges) -> Features:
        """Features after this layer."""
        return self._updated(features, species, self._received(features, edges))

    def calibrated(
        self, features: Features, species: Int[Array, " atoms"], edges: Edges, present: Bool[Array, " atoms"]
    ) -> tuple["Interaction", Features]:
        """The layer in units in which the messages of these features have size one, and the features after it.

        The size of a sum over neighbours depends on their number, distances and likeness. Without units, features of
        random weights grow or shrink by orders of magnitude from layer to layer, and training has to undo that first.

        Args:
            features, species, edges: of some structures.
            present: False for padding.
        """
        received = self._received(features, edges)
        total = {irrep: self._mean_square(values, present) for irrep, values in received.items()}
        order = [coupling.result for coupling in self.couplings]
        sizes = jnp.stack([total[irrep][order[:i].count(irrep)] for i, irrep in enumerate(order)]) ** 0.5
        largest = jnp.max(sizes)
        sizes = jnp.where(largest > 0.0, jnp.maximum(sizes, LEAST * largest), 1.0)
        layer = eqx.tree_at(lambda own: own.sizes, self, sizes)
        return layer, layer._updated(features, species, received)

    def _mean_square(self, received: Float[Array, "atoms _ _"], present: Bool[Array, " atoms"]) -> Float[Array, " own"]:
        """Mean square of each coupling to an irrep, over atoms, components and channels."""
        atoms, components, _ = received.shape
        squares = jnp.where(present[:, None, None], received, 0.0) ** 2
        own = jnp.sum(squares.reshape(atoms * components, -1, self._channels), axis=(0, 2))
        return own / (jnp.sum(present, dtype=received.dtype) * (components * self._channels))

    def _updated(self, features: Features, species: Int[Array, " atoms"], received: Features) -> Features:
        """Features after this layer, from those before and the sums of messages."""
        inverse = 1.0 / self.sizes
        units = {
            irrep: jnp.repeat(inverse[np.array([c.result == irrep for c in self.couplings])], self._channels)
            for irrep in received
        }
        in_units = {irrep: values * units[irrep][None, None, :] for irrep, values in received.items()}
        return self._gate(add(self.after(in_units), self.self_connection(features, species)))

    def _received(self, features: Features, edges: Edges) -> Features:
        """Sums of messages to each atom; the couplings to an irrep follow each other along its channels."""
        atoms = features[INVARIANT].shape[0]
        sent = self.before(features)
        return {
            irrep: jax.ops.segment_sum(rows, edges.centre, atoms)
            for irrep, rows in self._summed_by_rows(sent, edges).items()
        }

    def _summed_by_rows(self, sent: Features, edges: Edges) -> dict[Irrep, Float[Array, "rows _ _"]]:
        """Sums of messages in each row, block by block, so that memory does not grow with the number of pairs."""
        rows = edges.distance.shape[0]
        block = min(rows & -rows, BLOCK)  # sizes have a large power of two in them
        if rows == block:
            return self._summed(sent, edges)
        blocks = jax.tree.map(lambda values: values.reshape(-1, block, *values.shape[1:]), edges)
        sums = lax.map(lambda own: self._summed(sent, own), blocks)
        return jax.tree.map(lambda values: values.reshape(rows, *values.shape[2:]), sums)

    def _summed(self, sent: Features, edges: Edges) -> dict[Irrep, Float[Array, "block _ _"]]:
        """Sums of messages in each row of one block."""
        weights = self.radial(edges.distance)
        sources = {irrep: values[edges.neighbour] for irrep, values in sent.items()}
        parts: dict[Irrep, list] = {}
        for weight, coupling in zip(jnp.split(weights, len(self.couplings), axis=-1), self.couplings, strict=True):
            message = _messages(coupling, weight, edges.harmonics[coupling.order], sources[coupling.source])
            parts.setdefault(coupling.result, []).append(message)
        return {irrep: jnp.concatenate(found, axis=-1) for irrep, found in parts.items()}

    def _gate(self, features: Features) -> Features:
        """silu of invariants, tanh of pseudoscalars, and all other features times gates."""
        own, *gates = jnp.split(features[INVARIANT], 1 + len(self._gated), axis=-1)
        gated = {irrep: features[irrep] * silu(gate) for irrep, gate in zip(self._gated, gates, strict=True)}
        pseudoscalars = {irrep: tanh(features[irrep]) for irrep in self.results if irrep == (0, -1)}
        return {INVARIANT: silu(own)} | pseudoscalars | gated

    @property
    def _channels(self) -> int:
        """Number of channels of each coupling."""
        return self.before.weights[INVARIANT].shape[1]

    @property
    def _gated(self) -> tuple[Irrep, ...]:
        return tuple(irrep for irrep in self.results if irrep[0] > 0)


def _messages(
    coupling: Coupling,
    weight: Float[Array, "rows neighbours channels"],
    harmonic: Float[Array, "rows neighbours _"],
    source: Float[Array, "rows neighbours _ channels"],
) -> Float[Array, "rows _ channels"]:
    """Σ_j R(r_ij) (Y(r̂_ij) ⊗ x_j) of one coupling.

    The harmonics are coupled first, so that the sum over neighbours and components is one matrix product for each row.
    """
    tensor = jnp.asarray(real_clebsch_gordan(coupling.source[0], coupling.order, coupling.result[0]), harmonic.dtype)
    matrices = jnp.einsum("umh,anh->aunm", tensor, harmonic, precision=lax.Precision.HIGHEST)
    weighted = source * weight[:, :, None, :]
    return jnp.einsum("aunm,anmc->auc", matrices, weighted)
