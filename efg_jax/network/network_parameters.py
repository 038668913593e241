"""The hyperparameters of networks that may be tuned: sizes of the architecture and options of the training."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from efg_jax.errors import InputError
from efg_jax.models.protocol import Model
from efg_jax.models.tuning_problem import Parameter, Values
from efg_jax.network.backbone import Outputs, check_makes

MOVED = ("learning_rate", "channels", "layers", "lmax", "cutoff", "batch_edges", "weight_decay")
"""What moves unless it is said otherwise."""
IN_TRAINING = ("learning_rate", "batch_edges", "weight_decay")
CONTINUOUS = ("learning_rate", "cutoff", "weight_decay")
OF_PRODUCTS = ("product_order", "products")


def network_parameters(model: Model) -> dict[str, Parameter]:
    """Every hyperparameter that may be tuned, with an interval that holds the network's own value."""
    cutoff = float(model.architecture.cutoff)
    whole, factors = {"whole": True, "closed": True}, {"logarithmic": True}
    every = {
        "learning_rate": Parameter((5e-4, 0.05), **factors),
        "channels": Parameter((8, 64), limits=(1, inf), **whole, **factors),
        "layers": Parameter((1, 3), limits=(1, 4), **whole),
        "lmax": Parameter((0, 3), limits=(0, 4), **whole, symbol="$l_{max}$"),
        "cutoff": Parameter((0.6 * cutoff, 1.3 * cutoff), symbol="cutoff (Å)"),
        "batch_edges": Parameter((512, 8192), limits=(1, inf), **whole, **factors),
        "weight_decay": Parameter((1e-6, 0.1), limits=(0, 1), **factors),
        "bessels": Parameter((4, 16), limits=(1, inf), **whole),
        "radial_width": Parameter((16, 128), limits=(1, inf), **whole, **factors),
        "product_order": Parameter((1, 3), limits=(1, 4), **whole),
        "products": Parameter((1, 4096), limits=(1, inf), square=True, **whole, **factors),
    }
    values = network_values(model)
    return {name: every[name].holding(value) for name, value in values.items() if every[name].closed or value != 0}


def reasons_to_stay(model: Model) -> dict[str, str]:
    """Hyperparameters that cannot move, and why."""
    values = network_values(model)
    movable = network_parameters(model)
    zero = "it starts from zero, and moves by factors; start above zero"
    reasons = {name: zero for name in values if name not in movable}
    no_products = "this network makes no products; take decomposition='products'"
    return reasons | {name: no_products for name in OF_PRODUCTS if name not in values}


def network_values(model: Model) -> dict[str, int | float]:
    """Hyperparameters by name; those of products where there are any."""
    names = (
        "learning_rate", "channels", "layers", "lmax", "cutoff", "batch_edges", "weight_decay", "bessels",
        "radial_width", *(OF_PRODUCTS if model.architecture.decomposition == "products" else ()),
    )  # fmt: skip
    return {name: getattr(model.training if name in IN_TRAINING else model.architecture, name) for name in names}


def with_network_values(model: Model, values: Values) -> Model:
    """The network with these hyperparameters, not fitted.

    Features go no further than ``lmax``: a ``product_order`` above it becomes ``lmax``.
    """
    own = {name: float(value) if name in CONTINUOUS else int(value) for name, value in values.items()}
    if "product_order" in own:
        own["product_order"] = min(own["product_order"], own.get("lmax", model.architecture.lmax))
    steps = {name: own.pop(name) for name in IN_TRAINING if name in own}
    return replace(model, architecture=replace(model.architecture, **own), training=replace(model.training, **steps))


def narrowed(parameters: Mapping[str, Parameter], model: Model, outputs: Outputs) -> dict[str, Parameter]:
    """Without the lowest sizes, where they make no features of the orders or parities that the targets have.

    No other size makes up for what one lacks, so that a box remains, and the start is in it.

    Args:
        parameters: that a search moves.
        model: where it starts.
        outputs: irreducible parts of each target.
    """
    found = dict(parameters)
    sizes = [name for name in ("product_order", "lmax", "layers") if name in found]
    highest = {name: found[name].bounds[1] for name in sizes}
    for name in sizes:
        low, high = found[name].bounds
        while low < high and not _makes(model, highest | {name: low}, outputs):
            low += 1
        found[name] = found[name].within((low, high))
    return found


def _makes(model: Model, sizes: Values, outputs: Outputs) -> bool:
    try:
        check_makes(with_network_values(model, sizes).architecture, outputs)
    except InputError:
        return False
    return True
