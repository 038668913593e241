"""What a search over networks moves: sizes of the architecture and options of the training, within bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isqrt
from typing import TYPE_CHECKING, Literal, NamedTuple

from efg_jax.errors import InputError
from efg_jax.network import EquivariantNetwork
from efg_jax.network.backbone import Outputs, check_makes

if TYPE_CHECKING:
    import optuna

NetworkValues = dict[str, int | float]
"""Hyperparameters of a network by name, those that a search leaves alone included."""
Interval = tuple[int | float, int | float]


class Hyperparameter(NamedTuple):
    """One that may move.

    Attributes:
        owner: what has it.
        whole: whether it is a whole number.
        logarithmic: whether factors count, not differences.
        limits: between which it must lie; a whole number may be one of them.
    """

    owner: Literal["training", "architecture"]
    whole: bool
    logarithmic: bool
    limits: Interval = (0, inf)


HYPERPARAMETERS = {
    "learning_rate": Hyperparameter("training", False, True),
    "channels": Hyperparameter("architecture", True, True, (1, inf)),
    "layers": Hyperparameter("architecture", True, False, (1, 4)),
    "lmax": Hyperparameter("architecture", True, False, (0, 4)),
    "cutoff": Hyperparameter("architecture", False, False),
    "batch_edges": Hyperparameter("training", True, True, (1, inf)),
    "weight_decay": Hyperparameter("training", False, True, (0, 1)),
    "bessels": Hyperparameter("architecture", True, False, (1, inf)),
    "radial_width": Hyperparameter("architecture", True, True, (1, inf)),
    "product_order": Hyperparameter("architecture", True, False, (1, 4)),
    "products": Hyperparameter("architecture", True, True, (1, inf)),
}
MOVED = ("learning_rate", "channels", "layers", "lmax", "cutoff", "batch_edges", "weight_decay")
"""What moves unless it is said otherwise."""
OF_PRODUCTS = ("product_order", "products")


@dataclass(frozen=True)
class NetworkSpace:
    """Hyperparameters to tune, and their intervals, both ends included.

    Attributes:
        bounds: (low, high) by name; whole numbers of what is whole, and squares of ``products``.
    """

    bounds: Mapping[str, Interval]

    def suggested(self, trial: "optuna.trial.Trial", fixed: NetworkValues) -> NetworkValues:
        """What the sampler asks for; hyperparameters that do not move are taken from ``fixed``.

        No tensors of a higher order than ``lmax`` are there to be multiplied: a ``product_order`` above it is trained as ``lmax``.
        """
        values = dict(fixed)
        for name, (low, high) in self.bounds.items():
            kind = HYPERPARAMETERS[name]
            if name == "products":  # N, of which there are N² products
                values[name] = trial.suggest_int(name, isqrt(int(low)), isqrt(int(high)), log=True) ** 2
            elif kind.whole:
                values[name] = trial.suggest_int(name, int(low), int(high), log=kind.logarithmic)
            else:
                values[name] = trial.suggest_float(name, low, high, log=kind.logarithmic)
        if "product_order" in self.bounds:
            values["product_order"] = min(values["product_order"], values["lmax"])
        return values

    def parameters(self, values: NetworkValues) -> NetworkValues:
        """The place of these values as the sampler knows it."""
        return {name: isqrt(values[name]) if name == "products" else values[name] for name in self.bounds}


def network_bounds(model: EquivariantNetwork) -> dict[str, Interval]:
    """Interval of each hyperparameter that may be tuned, wide enough to hold the model's own value.

    `MOVED` of them are, unless it is said otherwise. What is zero has no logarithm and is left as it is, as is what belongs to products where
    there are none.
    """
    values, cutoff = network_values(model), float(model.architecture.cutoff)
    bounds = {
        "learning_rate": (5e-4, 0.05),
        "channels": (8, 64),
        "layers": (1, 3),
        "lmax": (0, 3),
        "cutoff": (0.6 * cutoff, 1.3 * cutoff),
        "batch_edges": (512, 8192),
        "weight_decay": (1e-6, 0.1),
        "bessels": (4, 16),
        "radial_width": (16, 128),
        "product_order": (1, 3),
        "products": (1, 4096),
    }
    return {
        name: (min(low, values[name]), max(high, values[name]))
        for name, (low, high) in bounds.items()
        if name in values and not (HYPERPARAMETERS[name].logarithmic and values[name] == 0)
    }


def network_space(
    model: EquivariantNetwork,
    outputs: Outputs,
    bounds: Mapping[str, Interval] | None,
    parameters: tuple[str, ...] | None,
) -> NetworkSpace:
    """The space of a search, checked against the network that it starts from, without sizes that cannot make the targets.

    Args:
        model: where the search starts.
        outputs: irreducible parts of each target.
        bounds: intervals by name; those that are not given are the default ones.
        parameters: what to tune; None: what ``bounds`` names, or `MOVED`.

    Raises:
        InputError: an unknown name, an empty interval, one of values that cannot be or that excludes the start, or a start that cannot make a
            target.
    """
    usual, given, values = network_bounds(model), dict(bounds or {}), network_values(model)
    if parameters is None:
        parameters = tuple(given) or tuple(name for name in MOVED if name in usual)
    for name in (*parameters, *given):
        if name in OF_PRODUCTS and name not in values:
            raise InputError(f"cannot tune {name}: this network makes no products; take decomposition='products'")
        if name in values and name not in usual:
            raise InputError(f"cannot tune {name}: it starts from zero, and moves by factors; start above zero")
        if name not in usual:
            raise InputError(f"cannot tune {name}; choose among {', '.join(usual)}")
    if not parameters:
        raise InputError(f"there is nothing to tune; choose among {', '.join(usual)}")
    chosen = {name: _interval(name, *given.get(name, usual[name]), values[name]) for name in dict.fromkeys(parameters)}
    check_makes(model.architecture, outputs)
    return _possible(chosen, model, outputs)


def network_values(model: EquivariantNetwork) -> NetworkValues:
    """The model's own hyperparameters."""
    products = model.architecture.decomposition == "products"
    return {
        name: getattr(getattr(model, kind.owner), name)
        for name, kind in HYPERPARAMETERS.items()
        if products or name not in OF_PRODUCTS
    }


def with_network_values(model: EquivariantNetwork, values: NetworkValues) -> EquivariantNetwork:
    """The model, unfitted, with these hyperparameters."""
    parts = {
        owner: replace(
            getattr(model, owner),
            **{name: value for name, value in values.items() if HYPERPARAMETERS[name].owner == owner},
        )
        for owner in ("architecture", "training")
    }
    return replace(model, fitted=None, **parts)


def _interval(name: str, low: int | float, high: int | float, value: int | float) -> Interval:
    """Bounds that are checked; of whole numbers and squares those inside."""
    kind = HYPERPARAMETERS[name]
    least, most = kind.limits
    if not (-inf < low < high < inf):
        raise InputError(f"bounds of {name} are ({low:g}, {high:g}), an empty box; give the lower one first")
    if not (least <= low and high <= most if kind.whole else least < low and high < most):
        raise InputError(
            f"bounds of {name} are ({low:g}, {high:g}), beyond {'' if kind.whole else 'or on '}its limits {least:g} and {most:g}; narrow them"
        )
    if kind.whole and (low % 1 or high % 1):
        raise InputError(f"bounds of {name} are ({low:g}, {high:g}), and it is a whole number; give whole numbers")
    if not low <= value <= high:
        raise InputError(
            f"the start {name} = {value:g} lies outside its bounds ({low:g}, {high:g}); widen them, or start inside"
        )
    if name == "products":
        root = isqrt(int(low))
        return (root + (root**2 < low)) ** 2, isqrt(int(high)) ** 2
    return (int(low), int(high)) if kind.whole else (float(low), float(high))


def _possible(bounds: dict[str, Interval], model: EquivariantNetwork, outputs: Outputs) -> NetworkSpace:
    """Without the lowest sizes, where they make no features of the orders or parities that the targets have.

    What one size lacks no other makes up for, so that a box remains; the start is in it.
    """
    sizes = [name for name in ("product_order", "lmax", "layers") if name in bounds]
    for name in sizes:
        highest = {other: bounds[other][1] for other in sizes}
        low, high = bounds[name]
        while low < high and not _makes(model, highest | {name: low}, outputs):
            low += 1
        bounds[name] = (low, high)
    return NetworkSpace(bounds)


def _makes(model: EquivariantNetwork, sizes: NetworkValues, outputs: Outputs) -> bool:
    if "product_order" in sizes:
        sizes["product_order"] = min(sizes["product_order"], sizes.get("lmax", model.architecture.lmax))
    try:
        check_makes(replace(model.architecture, **sizes), outputs)
    except InputError:
        return False
    return True
