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
                raise InputError(f"species must be symbols of elements, got {self.species!r}")
            object.__setattr__(
                self, "species", (self.species,) if isinstance(self.species, str) else tuple(self.species)
            )
            if unknown := [symbol for symbol in self.species if symbol not in chemical_symbols[1:]]:
                raise InputError(f"species must be symbols of elements, got {unknown[0]!r}")
            if len(set(self.species)) != len(self.species) or not self.species:
                raise InputError(
                    f"species must name each element once, and at least one, got {', '.join(self.species) or 'none'}"
                )
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
            raise InputError(f"lmax must be 0 to 4, got {self.lmax}")
        if not 1 <= self.layers <= 4:
            raise InputError(f"layers must be 1 to 4, got {self.layers}")
        object.__setattr__(self, "cutoff", as_float("cutoff", self.cutoff))
        for name in ("cutoff", "channels", "bessels", "radial_width", "radial_depth"):
            if not 0 < getattr(self, name) < inf:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        if self.decomposition not in ("irreps", "products"):
            raise InputError(f"decomposition must be 'irreps' or 'products', got {self.decomposition!r}")
        if self.decomposition == "products" and not 1 <= self.product_order <= self.lmax:
            raise InputError(
                f"product_order must be 1 to lmax = {self.lmax}, got {self.product_order}; lower it, or raise lmax"
            )
        if isqrt(max(self.products, 0)) ** 2 != self.products or self.products < 1:
            raise InputError(f"products must be a square number, such as 1, 64 or 4096, got {self.products}")
