"""The λ-SOAP descriptor: hyperparameters are leaves, one environment is one pure function, atoms are a mapped axis."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from math import pi, sqrt
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase.data import atomic_numbers
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from efg_jax.descriptors.harmonics import solid_harmonics
from efg_jax.descriptors.power_spectrum import invariant_norm, power_spectrum_blocks
from efg_jax.descriptors.radial import RadialTable, cutoff_function, radial_scaling, radial_table
from efg_jax.errors import InputError
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.tensors.irreps import INVARIANT, Irrep

Density = list[Float[Array, "channels _"]]

# Environments per step: few enough for the cache of a CPU, enough to fill an accelerator.
_CHUNK = {"cpu": 8}
_ACCELERATOR_CHUNK = 256


def leaf(value) -> Array | np.ndarray:
    """A differentiable leaf: numbers become float64 on the host, whatever JAX's precision; JAX arrays stay."""
    return value if isinstance(value, jax.Array) else np.asarray(value, dtype=np.float64)


def settled(tree):
    """The same PyTree with all leaves as float64 on the host, as a fitted model keeps its hyperparameters."""
    return jax.tree.map(lambda value: np.asarray(value, dtype=np.float64), tree)


def _whole(value):
    """NumPy's integers as Python's; anything else is refused later."""
    return int(value) if isinstance(value, np.integer) else value


class LambdaSOAP(eqx.Module):
    """Hyperparameters of the symmetry-adapted SOAP power spectrum (Grisafi et al. 2018), as a PyTree.

    Every continuous hyperparameter is an array leaf, so that `jax.grad` with respect to the descriptor is the gradient
    with respect to all of them. What determines shapes (``nmax``, ``lmax``, ``species``) is static.

    Args:
        cutoff: radius r_c of an environment, Å.
        nmax: number of radial functions.
        lmax: highest angular momentum of the density.
        sigma: width of the Gaussian on each atom, Å.
        cutoff_width: width of the smooth cutoff, Å; None: the hard step of TENSOAP, without a gradient.
        scaling_rate: c of the radial scaling c/(c + (r/r0)^m).
        scaling_radius: r0 of that scaling, Å.
        scaling_exponent: m of that scaling. 0 switches it off: u = 1, which is not the limit c/(c + 1) of small m,
            so do not start tuning there.
        centre_weight: weight of the atom at the centre in its own density.
        species: the neighbour species; None: those of the training set, filled in by a model's ``fit``.
        species_weights: weight of each neighbour species' density; None: ones.
        contraction: for each l a matrix that mixes the (species, n) channels of the density into fewer, (lmax + 1,
            contracted, species · nmax). The number of features falls with its square. None: no mixing. Start from
            `principal_contraction`.
        normalise: "invariant": all λ by the norm of the λ = 0 features, so that the features keep how far an
            environment is from isotropic, and with it the size of its tensor. "environment" (the paper, TENSOAP): each
            λ by itself, so that the kernel of every environment with itself has norm 1. Or "none". On the silica set
            "invariant" has the smaller error, for Si by almost half.
    """

    cutoff: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=5.0)
    nmax: int = eqx.field(static=True, default=8, converter=_whole)
    lmax: int = eqx.field(static=True, default=6, converter=_whole)
    sigma: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=0.4)
    cutoff_width: Float[Array | np.ndarray, ""] | None = eqx.field(
        converter=lambda value: None if value is None else leaf(value), default=0.5
    )
    scaling_rate: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=1.0)
    scaling_radius: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=2.5)
    scaling_exponent: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=5.0)
    centre_weight: Float[Array | np.ndarray, ""] = eqx.field(converter=leaf, default=1.0)
    species: tuple[str, ...] | None = eqx.field(static=True, default=None)
    species_weights: Float[Array | np.ndarray, " species"] | None = eqx.field(
        converter=lambda value: None if value is None else leaf(value), default=None
    )
    contraction: Float[Array | np.ndarray, "orders contracted channels"] | None = eqx.field(
        converter=lambda value: None if value is None else leaf(value), default=None
    )
    normalise: Literal["environment", "invariant", "none"] = eqx.field(static=True, default="invariant")

    def __check_init__(self):
        for name in ("nmax", "lmax"):
            value, least = getattr(self, name), 1 if name == "nmax" else 0
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(
                    f"{name} must be an integer from {least}, got {value}; 8 and 6 are usual for nmax and lmax"
                )
        for name in ("cutoff", "sigma", "cutoff_width", "scaling_radius"):
            self._require(name, lambda value: value > 0, "positive, in Å")
        for name in ("scaling_rate", "scaling_exponent", "centre_weight", "species_weights"):
            self._require(name, lambda value: value >= 0, "zero or more")
        if self.normalise not in ("invariant", "environment", "none"):
            raise InputError(f"normalise must be 'invariant', 'environment' or 'none', got {self.normalise!r}")
        if self.species is not None:
            self._check_species(self.species)

    def _check_species(self, species: tuple[str, ...]) -> None:
        if unknown := [symbol for symbol in species if symbol not in atomic_numbers]:
            raise InputError(f"species must be symbols of elements such as 'O', got {unknown[0]!r}")
        if len(set(species)) != len(species):
            raise InputError(f"species {species} names an element twice; name each once")
        if self.species_weights is not None and self.species_weights.shape != (len(species),):
            raise InputError(
                f"species_weights has shape {self.species_weights.shape}; "
                f"give one weight for each of {', '.join(species)}"
            )
        expected = (self.lmax + 1, len(species) * self.nmax)
        if self.contraction is not None and self.contraction.shape[::2] != expected:
            raise InputError(
                f"contraction has shape {self.contraction.shape}; "
                f"give ({expected[0]}, contracted channels, {expected[1]}) for lmax = {self.lmax}, nmax = {self.nmax} "
                f"and {len(species)} species"
            )

    def _require(self, name: str, holds: Callable, what: str) -> None:
        """Check a hyperparameter that is a number on the host (a traced one has no value yet)."""
        value = getattr(self, name)
        if (
            isinstance(value, np.ndarray)
            and np.issubdtype(value.dtype, np.number)
            and not (np.isfinite(value).all() and np.all(holds(value)))
        ):
            raise InputError(f"{name} must be {what}, got {value}")

    def __repr__(self) -> str:
        values = ", ".join(
            f"{f.name}={value if f.name != 'contraction' else f'({value.shape[1]} channels)'}"
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None
        )
        return f"LambdaSOAP({values})"

    def with_species(self, species: Sequence[str]) -> "LambdaSOAP":
        """The same descriptor for these neighbour species."""
        return replace(self, species=tuple(species))

    def density(
        self,
        displacements: Float[Array, "neighbours 3"],
        species: Int[Array, " neighbours"],
        mask: Bool[Array, " neighbours"],
        centre_species: Int[Array, ""],
        table: RadialTable | None = None,
    ) -> Density:
        """Expansion coefficients c_{(species, n) l m} of the neighbour density of ONE environment.

        Args:
            displacements: from the centre, Å.
            species, centre_species: index into ``self.species``.
            mask: False for padding.
            table: from `radial_table`; None: computed here.

        Returns:
            One array per l of shape (species · nmax, 2l+1), species slowest; (contracted, 2l+1) with a contraction.
        """
        if self.species is None:
            raise ValueError("the descriptor has no species yet; use with_species, or fit a model")
        dtype = displacements.dtype
        parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=dtype), self)
        if table is None:
            table = parameters.radial_table()
        # Padding is moved to a place where every function of the distance is smooth; its weight is zero.
        far = jnp.zeros(3, dtype=dtype).at[0].set(2.0)
        displacements = jnp.where(mask[:, None], displacements, far[None, :])
        distance = jnp.sqrt(jnp.sum(displacements**2, axis=-1))
        weight = cutoff_function(distance, parameters.cutoff, parameters.cutoff_width) * radial_scaling(
            distance, parameters.scaling_rate, parameters.scaling_radius, parameters.scaling_exponent
        )
        weight = jnp.where(mask, weight, 0.0)
        channel = weight[:, None] * jax.nn.one_hot(species, len(self.species), dtype=dtype)
        own = parameters.centre_weight * jax.nn.one_hot(centre_species, len(self.species), dtype=dtype)
        if parameters.species_weights is not None:
            channel = channel * parameters.species_weights[None, :]
            own = own * parameters.species_weights
        radial = table(distance)
        angular = solid_harmonics(displacements, self.lmax)
        channels = len(self.species) * self.nmax
        density = []
        for l in range(self.lmax + 1):
            spread = (channel[:, :, None] * radial[:, l, None, :]).reshape(-1, channels)
            density.append(jnp.einsum("jq,jm->qm", spread, angular[l], precision=lax.Precision.HIGHEST))
        # The centre is a neighbour at displacement zero, where all harmonics vanish but Y_00 = 1/√4π.
        centre = (own[:, None] * table.at_centre[None, :]).reshape(channels, 1) / sqrt(4.0 * pi)
        density[0] = density[0] + centre
        if parameters.contraction is not None:
            density = [
                jnp.matmul(mixing, part, precision=lax.Precision.HIGHEST)
                for mixing, part in zip(parameters.contraction, density, strict=True)
            ]
        return density

    def radial_table(self) -> RadialTable:
        """Radial integrals of these hyperparameters, tabulated; one table serves all environments."""
        return radial_table(jnp.asarray(self.sigma), jnp.asarray(self.cutoff), self.nmax, self.lmax)

    def environment_features(
        self,
        displacements: Float[Array, "neighbours 3"],
        species: Int[Array, " neighbours"],
        mask: Bool[Array, " neighbours"],
        centre_species: Int[Array, ""],
        irreps: tuple[Irrep, ...] = (INVARIANT,),
        table: RadialTable | None = None,
    ) -> dict[Irrep, Float[Array, "_ _"]]:
        """Normalised λ-SOAP features of ONE environment for each (λ, parity); see `density` for the arguments."""
        density = self.density(displacements, species, mask, centre_species, table)
        blocks = self._feature_blocks(density, irreps)
        return {irrep: jnp.concatenate(parts, axis=-1) for irrep, parts in blocks.items()}

    def _feature_blocks(
        self, density: list[Float[Array, "*batch channels _"]], irreps: tuple[Irrep, ...]
    ) -> dict[Irrep, list[Float[Array, "*batch _ _"]]]:
        """Normalised features of environments, in parts to be joined."""
        if self.normalise == "none":
            return {irrep: power_spectrum_blocks(density, *irrep) for irrep in irreps}
        norm = invariant_norm(density)
        # Padding and a lone weightless atom have no density at all: their features stay zero, with zero gradients.
        exists = norm > jnp.finfo(norm.dtype).tiny
        # Features are quadratic in the density, which is cheaper to scale.
        scale = jnp.where(exists, norm, 1.0) ** -0.25
        density = [part * scale for part in density]
        blocks = {irrep: power_spectrum_blocks(density, *irrep) for irrep in irreps}
        if self.normalise == "invariant":
            return blocks
        return {irrep: _by_own_norm(parts, exists) for irrep, parts in blocks.items()}

    def __call__(
        self, environments: Environments | Neighbours, irreps: tuple[Irrep, ...] = (INVARIANT,)
    ) -> dict[Irrep, Float[Array, "centres _ _"]]:
        """Features of a batch of environments for each (λ, parity); pure and differentiable, also under `jax.jit`.

        Rows of padded centres are zero.
        """
        batch = environments.neighbours() if isinstance(environments, Environments) else environments
        size, irreps = batch.size, tuple(dict.fromkeys(irreps))
        chunk = min(_CHUNK.get(jax.default_backend(), _ACCELERATOR_CHUNK), size)
        pieces = jax.tree.map(lambda array: _in_pieces(jnp.asarray(array), chunk), batch)
        table = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype=pieces.displacements.dtype), self).radial_table()
        features = _features_of_pieces(self, irreps, table, pieces)
        return {irrep: p[:size] for irrep, p in features.items()}

    def _blocks_of_piece(
        self, irreps: tuple[Irrep, ...], table: RadialTable, piece: Neighbours
    ) -> dict[Irrep, list[Float[Array, "centres _ _"]]]:
        """`_feature_blocks` of a piece of a batch; zero for padded centres."""
        density = jax.vmap(self.density, in_axes=(0, 0, 0, 0, None))(
            piece.displacements, piece.species, piece.mask, piece.centre_species, table
        )
        density = [jnp.where(piece.centre_mask[:, None, None], part, 0.0) for part in density]
        return self._feature_blocks(density, irreps)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def _features_of_pieces(
    descriptor: LambdaSOAP, irreps: tuple[Irrep, ...], table: RadialTable, pieces: Neighbours
) -> dict[Irrep, Float[Array, "centres _ _"]]:
    """Features of all pieces, each block written in place; pieces of padding at the end cost nothing."""
    count, chunk = pieces.centre_mask.shape
    piece = partial(_piece, pieces)
    shapes = jax.eval_shape(lambda: descriptor._blocks_of_piece(irreps, table, piece(0)))
    empty = {  # as the displacements: spread over devices in the same way
        irrep: jnp.zeros_like(
            pieces.displacements, shape=(count * chunk, parts[0].shape[1], sum(part.shape[2] for part in parts))
        )
        for irrep, parts in shapes.items()
    }

    def write(index, features):
        blocks = descriptor._blocks_of_piece(irreps, table, piece(index))
        return {irrep: _written(features[irrep], parts, index * chunk) for irrep, parts in blocks.items()}

    filled = jnp.max(jnp.where(pieces.centre_mask.any(axis=1), jnp.arange(1, count + 1), 0))
    return lax.fori_loop(0, filled, write, empty)


@_features_of_pieces.defjvp
def _features_of_pieces_jvp(irreps, primals, tangents):
    """Derivatives of the plain map, because those of writing in place would go back block by block."""

    def mapped(descriptor, table, pieces):
        @jax.checkpoint  # a gradient through many environments keeps their inputs, and recomputes the rest
        def joined(piece):
            blocks = descriptor._blocks_of_piece(irreps, table, piece)
            return {irrep: jnp.concatenate(parts, axis=-1) for irrep, parts in blocks.items()}

        features = lax.map(joined, pieces)
        return {irrep: p.reshape(-1, *p.shape[2:]) for irrep, p in features.items()}

    return jax.jvp(mapped, primals, tangents)


def _piece(pieces: Neighbours, index: Int[Array, ""] | int) -> Neighbours:
    return jax.tree.map(lambda array: lax.dynamic_index_in_dim(array, index, keepdims=False), pieces)


def _in_pieces(array: Array, chunk: int) -> Array:
    """Rows in pieces of equal length, the last filled up with zeros, which are padded centres."""
    rows = -(-array.shape[0] // chunk) * chunk
    filled = jnp.pad(array, [(0, rows - array.shape[0])] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(-1, chunk, *array.shape[1:])


def _written(
    features: Float[Array, "centres components features"],
    parts: list[Float[Array, "piece components _"]],
    start: Int[Array, ""],
) -> Float[Array, "centres components features"]:
    """Write the parts side by side into the rows from ``start``, in place: joining them first would copy them twice."""
    column = 0
    for part in parts:
        features = lax.dynamic_update_slice(features, part, (start, 0, column))
        column += part.shape[-1]
    return features


def _by_own_norm(
    parts: list[Float[Array, "*batch components _"]], exists: Bool[Array, "*batch 1 1"]
) -> list[Float[Array, "*batch components _"]]:
    gram = sum(jnp.einsum("...uf,...vf->...uv", part, part, precision=lax.Precision.HIGHEST) for part in parts)
    # At a site of cubic symmetry the λ = 2 features are rounding errors, which must not be scaled up to norm one.
    floor = jnp.finfo(gram.dtype).eps ** 2.5
    total = jnp.sum(gram**2, axis=(-2, -1), keepdims=True) + floor
    scale = jnp.where(exists, total, 1.0) ** -0.25
    return [part * scale for part in parts]
