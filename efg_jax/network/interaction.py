"""One round of messages: each atom sums what it hears of its neighbours, direction and distance included."""

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
"""Rows of neighbours that are worked on at a time."""
LEAST = 0.03
"""Least unit of a layer, in that of its largest. Couplings that vanish by symmetry hear their rounding alone, and in units of that they would drown
all others in the first structure that is less symmetric."""


class Interaction(eqx.Module):
    """NequIP's interaction block and gate (Batzner et al. 2022, Fig. 1): linear, messages, linear, self-connection, gate.

    A message of neighbour j is Σ R(r_ij) (Y^l2(r̂_ij) ⊗ x_j^l1)^l3, with a weight R for every coupling and channel.
    """

    before: Linear
    radial: RadialNetwork
    after: Linear
    self_connection: SpeciesLinear
    sizes: Float[Array, " couplings"]  # of what is heard; measured once, and never trained
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
        heard = {irrep: channels * sum(c.result == irrep for c in self.couplings) for irrep in results}
        leaving = dict.fromkeys(results, channels) | {INVARIANT: channels * (1 + len(self._gated))}
        self.before = Linear(entering, entering, keys[0])
        self.radial = RadialNetwork(architecture, channels * len(self.couplings), keys[1])
        self.after = Linear({irrep: count for irrep, count in heard.items() if count}, leaving, keys[2])
        self.self_connection = SpeciesLinear(len(architecture.species), entering, leaving, keys[3])

    def __call__(self, features: Features, species: Int[Array, " atoms"], edges: Edges) -> Features:
        """Features after this layer."""
        return self._answer(features, species, self._heard(features, edges))

    def calibrated(
        self, features: Features, species: Int[Array, " atoms"], edges: Edges, present: Bool[Array, " atoms"]
    ) -> tuple["Interaction", Features]:
        """The layer in whose units these features hear messages of size one, and the features after it.

        How large a sum over neighbours is depends on how many there are, how near, and how alike; without units, the features of random weights grow or
        shrink from layer to layer by orders of magnitude, and training has to undo that first.

        Args:
            features, species, edges: of some structures.
            present: which atoms are no padding.
        """
        heard = self._heard(features, edges)
        total = {irrep: self._mean_square(values, present) for irrep, values in heard.items()}
        order = [coupling.result for coupling in self.couplings]
        sizes = jnp.stack([total[irrep][order[:i].count(irrep)] for i, irrep in enumerate(order)]) ** 0.5
        largest = jnp.max(sizes)
        sizes = jnp.where(largest > 0.0, jnp.maximum(sizes, LEAST * largest), 1.0)
        layer = eqx.tree_at(lambda own: own.sizes, self, sizes)
        return layer, layer._answer(features, species, heard)

    def _mean_square(self, heard: Float[Array, "atoms _ _"], present: Bool[Array, " atoms"]) -> Float[Array, " own"]:
        """Of each coupling that ends in an irrep, over atoms, components and channels."""
        atoms, components, _ = heard.shape
        squares = jnp.where(present[:, None, None], heard, 0.0) ** 2
        own = jnp.sum(squares.reshape(atoms * components, -1, self._channels), axis=(0, 2))
        return own / (jnp.sum(present, dtype=heard.dtype) * (components * self._channels))

    def _answer(self, features: Features, species: Int[Array, " atoms"], heard: Features) -> Features:
        """Features after this layer, of those before and of what was heard."""
        inverse = 1.0 / self.sizes
        units = {
            irrep: jnp.repeat(inverse[np.array([c.result == irrep for c in self.couplings])], self._channels)
            for irrep in heard
        }
        in_units = {irrep: values * units[irrep][None, None, :] for irrep, values in heard.items()}
        return self._gate(add(self.after(in_units), self.self_connection(features, species)))

    def _heard(self, features: Features, edges: Edges) -> Features:
        """Sum of the messages to each atom, the couplings of an irrep one after another along its channels."""
        atoms = features[INVARIANT].shape[0]
        spoken = self.before(features)
        return {
            irrep: jax.ops.segment_sum(rows, edges.centre, atoms)
            for irrep, rows in self._heard_by_rows(spoken, edges).items()
        }

    def _heard_by_rows(self, features: Features, edges: Edges) -> dict[Irrep, Float[Array, "rows _ _"]]:
        """Their sum over each row, block by block: what is made of a block's pairs stays in the cache, and memory does not grow with them."""
        rows = edges.distance.shape[0]
        block = min(rows & -rows, BLOCK)  # sizes have a large power of two in them
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
    def _channels(self) -> int:
        """Of each coupling."""
        return self.before.weights[INVARIANT].shape[1]

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
