"""The kinds of models, by name. A new kind is one module and one line here."""

from importlib import import_module
from pathlib import Path

from efg_jax.errors import InputError
from efg_jax.models.protocol import FittedModel, Model
from efg_jax.storage.model_files import read_model

# Where each class lives: these modules build on this one, and are imported when they are wanted.
KINDS = {
    "tensor": "efg_jax.gp.tensor_gpr:TensorGPR",
    "scalar": "efg_jax.gp.scalar_gpr:ScalarGPR",
    "network": "efg_jax.network.equivariant_network:EquivariantNetwork",
}


def model_class(kind: str) -> type[Model]:
    """The class of a kind of model.

    Raises:
        InputError: an unknown kind.
    """
    if kind not in KINDS:
        raise InputError(f"unknown kind of model {kind!r}; choose one of {', '.join(KINDS)}")
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)


def load(path: str | Path, *, variance: bool = False) -> FittedModel:
    """Read a model that `FittedModel.save` wrote, ready to predict.

    The features of the training environments of a kernel model are computed again, which takes as long as predicting
    them once.

    Args:
        path: model file.
        variance: also compute what the variance of a kernel model needs, for ``predict(..., variance=True)``.

    Raises:
        InputError: the file is missing, damaged, no model, or of a newer version.
    """
    header, arrays = read_model(path)
    try:
        model = model_class(header["kind"]).from_dict(header["options"])
        return model.unpack(header, arrays).restored(variance=variance)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"this efg_jax model has missing or unknown parts ({error}); copy it again, or train it again",
            file=str(path),
        ) from error
