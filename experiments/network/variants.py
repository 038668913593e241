"""The networks of the study: both decompositions, orders of features, and the invariant control."""

from dataclasses import replace

from efg_jax.network import Architecture, EquivariantNetwork, Training

BASE = Architecture(layers=2, channels=32, lmax=2)
TRAINING = Training(epochs=60, steps=2000, batch_edges=1024)

SEARCH_TRAINING = replace(TRAINING, epochs=20, steps=0)
SEARCH_BOUNDS = {
    "learning_rate": (1e-3, 0.03),
    "cutoff": (3.5, 5.5),
    "batch_edges": (512, 4096),
    "weight_decay": (1e-6, 1e-2),
}
"""What is searched with `BASE` in short trainings, and then serves all networks, as λ-SOAP is tuned too."""

VARIANTS = {
    "irreps": BASE,
    "1 product, ℓ = 2": replace(BASE, decomposition="products", product_order=2, products=1),
    "64 products, ℓ = 2": replace(BASE, decomposition="products", product_order=2, products=64),
    "4096 products, ℓ = 2": replace(BASE, decomposition="products", product_order=2, products=4096),
    "64 products, ℓ = 1": replace(BASE, decomposition="products", product_order=1, products=64),
    "64 products, ℓ = 1, lmax 1": replace(BASE, lmax=1, decomposition="products", product_order=1, products=64),
    "irreps, lmax 3": replace(BASE, lmax=3),
    "64 products, ℓ = 3, lmax 3": replace(BASE, lmax=3, decomposition="products", product_order=3, products=64),
    "irreps, lmax 3, 3 layers": replace(BASE, lmax=3, layers=3),
    "irreps, lmax 4": replace(BASE, lmax=4),
    "64 products, ℓ = 4, lmax 4": replace(BASE, lmax=4, decomposition="products", product_order=4, products=64),
}
"""Architectures by name. Features up to order 1 give a tensor of order 2 by products only, hence lmax 1 there."""

CONTROL = replace(BASE, lmax=0)
"""Invariant features only."""

CURVE = ("irreps", "64 products, ℓ = 2")
"""Those that have learning curves of several draws."""

DEEP = "irreps, lmax 3, 3 layers"
"""The one that has a learning curve of one draw: its trainings are as long as those of seven others."""


def with_found(
    found: EquivariantNetwork, training: Training, *architectures: Architecture
) -> tuple[Training, list[Architecture]]:
    """The same with what a search has found: its cutoff, and its options of training."""
    values = {name: getattr(found.training, name) for name in SEARCH_BOUNDS if name != "cutoff"}
    return replace(training, **values), [replace(own, cutoff=found.architecture.cutoff) for own in architectures]


def quick(architecture: Architecture) -> Architecture:
    """A small one of the same kind, to see the study run."""
    fewer = {"products": min(architecture.products, 4)} if architecture.decomposition == "products" else {}
    return replace(architecture, channels=4, layers=1, cutoff=3.5, bessels=4, radial_width=8, **fewer)
