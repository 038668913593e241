"""Sizes of a network: everything but its weights."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, isqrt
from typing import Literal

from ase.data import chemical_symbols

from efg_jax.errors import InputError, as_float, as_int


@dataclass(frozen=True)
class Architecture:
    """Sizes of an equivariant message-passing network.

    Attributes:
        species: elements that it knows, in the order of its weights. None: those of the training set.
        cutoff: range of the messages of one layer, Å.
        lmax: highest order of features and of spherical harmonics, 0 to 4. With 0 all features are invariants.
        channels: number of features of each irrep.
        layers: number of message-passing layers.
        bessels: number of radial functions.
        radial_width, radial_depth: hidden layers of the network that gives the weights of messages by distance.
        decomposition: how tensors are made from features: "irreps", each part from features of the same irrep, or
            "products", all parts from products of tensors of one order (Ben Mahmoud et al. 2024, Eqs. 1 and 3).
        product_order: order ℓ of the tensors that are multiplied, 1 to ``lmax``.
        products: N², the number of products that are summed with learned weights.
    """

    species: str | tuple[str, ...] | None = None
    cutoff: float = 5.0
    lmax: int = 2
    channels: int = 32
    layers: int = 2
    bessels: int = 8
    radial_width: int = 64
    radial_depth: int = 2
    decomposition: Literal["irreps", "products"] = "irreps"
    product_order: int = 2
    products: int = 64

    def __post_init__(self):
        if self.species is not None:
            if not isinstance(self.species, Iterable):
                raise InputError(f"species = {self.species!r}: give symbols of elements")
            object.__setattr__(
                self, "species", (self.species,) if isinstance(self.species, str) else tuple(self.species)
            )
            if unknown := [symbol for symbol in self.species if symbol not in chemical_symbols[1:]]:
                raise InputError(f"species: {unknown[0]!r} is no symbol of an element")
            if len(set(self.species)) != len(self.species) or not self.species:
                raise InputError(f"species = {', '.join(self.species) or 'none'}: name each element once, at least one")
        for name in (
            "lmax",
            "layers",
            "channels",
            "bessels",
            "radial_width",
            "radial_depth",
            "product_order",
            "products",
        ):
            object.__setattr__(self, name, as_int(name, getattr(self, name)))
        if not 0 <= self.lmax <= 4:
            raise InputError(f"lmax = {self.lmax} is not in 0 to 4")
        if not 1 <= self.layers <= 4:
            raise InputError(f"layers = {self.layers} is not in 1 to 4")
        object.__setattr__(self, "cutoff", as_float("cutoff", self.cutoff))
        for name in ("cutoff", "channels", "bessels", "radial_width", "radial_depth"):
            if not 0 < getattr(self, name) < inf:
                raise InputError(f"{name} = {getattr(self, name)} is not above zero")
        if self.decomposition not in ("irreps", "products"):
            raise InputError(f"decomposition = {self.decomposition!r} is unknown; choose 'irreps' or 'products'")
        if self.decomposition == "products" and not 1 <= self.product_order <= self.lmax:
            raise InputError(
                f"product_order = {self.product_order} is not in 1 to lmax = {self.lmax}; features go no further"
            )
        if isqrt(max(self.products, 0)) ** 2 != self.products or self.products < 1:
            raise InputError(f"products = {self.products} is no square; N tensors make N² products: 1, 64, 4096, ...")
