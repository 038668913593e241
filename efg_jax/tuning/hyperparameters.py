"""Tuned hyperparameters as a file: JSON that a person can read, with the search that found them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp import ScalarGPR, TensorGPR
from efg_jax.gp.packing import pack_descriptor, unpack_descriptor
from efg_jax.network import Architecture, EquivariantNetwork, Training
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.tuning.space import Model

FORMAT = "efg_jax hyperparameters"
VERSION = 1
OF_TRAINING = ("learning_rate", "weight_decay", "warmup", "clip", "average", "batch_edges")
"""Options of the training that are applied to other networks; how long one trains, by what loss and validation, they say themselves."""


@dataclass(frozen=True)
class Hyperparameters:
    """All that a kernel model is besides its training set.

    Attributes:
        kind: of the model.
        descriptor: with species.
        zeta: ζ.
        regularisation: ρ over the kernel's mean diagonal, or "auto".
        target: name of what they were tuned for.
        species: elements that they were tuned for; None: all that had labels.
        search: how they were found, as JSON types.
    """

    kind: Literal["tensor", "scalar"]
    descriptor: LambdaSOAP
    zeta: float
    regularisation: float | Literal["auto"]
    target: str
    species: tuple[str, ...] | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, search: Mapping[str, Any] | None = None) -> "Hyperparameters":
        """Those of a model whose descriptor has species."""
        kind = "scalar" if isinstance(model, ScalarGPR) else "tensor"
        return cls(
            kind, model.descriptor, float(model.zeta), model.regularisation, model.target, model.species, search or {}
        )

    def apply(self, model: Model | EquivariantNetwork) -> Model:
        """The model, unfitted, with these hyperparameters; its species and target stay its own.

        Raises:
            InputError: the model is a network.
        """
        if isinstance(model, EquivariantNetwork):
            raise InputError(
                "these hyperparameters are those of a kernel model, and the model is a network; tune one (`efg-jax tune --model network`)"
            )
        return replace(
            model, descriptor=self.descriptor, zeta=self.zeta, regularisation=self.regularisation, fitted=None
        )

    def model(self) -> Model:
        """An unfitted model of the kind, target and species that they were tuned for."""
        make = ScalarGPR if self.kind == "scalar" else TensorGPR
        return self.apply(make(self.descriptor, self.species, self.target))

    def pack(self) -> dict[str, Any]:
        """As JSON types; `unpack` is the inverse."""
        return {
            "descriptor": pack_descriptor(self.descriptor),
            "zeta": float(self.zeta),
            "regularisation": self.regularisation,
        }

    @classmethod
    def unpack(cls, kind: Literal["tensor", "scalar"], values: Mapping[str, Any], **others: Any) -> "Hyperparameters":
        """Inverse of `pack`."""
        regularisation = values["regularisation"]
        return cls(
            kind,
            unpack_descriptor(values["descriptor"]),
            float(values["zeta"]),
            regularisation if regularisation == "auto" else float(regularisation),
            **others,
        )


@dataclass(frozen=True)
class NetworkHyperparameters:
    """All that an untrained network is.

    Attributes:
        architecture: sizes.
        training: how it is trained.
        target: name of what they were tuned for, or several.
        species: elements that they were tuned for; None: all that had labels.
        search: how they were found, as JSON types.
        kind: "network".
    """

    architecture: Architecture
    training: Training
    target: str | tuple[str, ...]
    species: tuple[str, ...] | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    kind: Literal["network"] = "network"

    @classmethod
    def of(cls, model: EquivariantNetwork, search: Mapping[str, Any] | None = None) -> "NetworkHyperparameters":
        """Those of a network."""
        return cls(model.architecture, model.training, model.target, model.species, search or {})

    def apply(self, model: Model | EquivariantNetwork) -> EquivariantNetwork:
        """The network, untrained, with this architecture and with `OF_TRAINING`; all else stays its own.

        Raises:
            InputError: the model is no network.
        """
        if not isinstance(model, EquivariantNetwork):
            raise InputError(
                "these hyperparameters are those of a network, and the model is a kernel model; tune one (`efg-jax tune`), or use --model network"
            )
        tuned = {name: getattr(self.training, name) for name in OF_TRAINING}
        return replace(model, architecture=self.architecture, training=replace(model.training, **tuned), fitted=None)

    def model(self) -> EquivariantNetwork:
        """An untrained network for the target and species that they were tuned for, as it was trained then."""
        return EquivariantNetwork(self.architecture, self.species, self.target, self.training)

    def pack(self) -> dict[str, Any]:
        """As JSON types; `unpack` is the inverse."""
        return {"architecture": self.architecture.to_dict(), "training": self.training.to_dict()}

    @classmethod
    def unpack(cls, values: Mapping[str, Any], **others: Any) -> "NetworkHyperparameters":
        """Inverse of `pack`."""
        return cls(Architecture.from_dict(values["architecture"]), Training.from_dict(values["training"]), **others)


def write_hyperparameters(path: str | Path, found: Hyperparameters | NetworkHyperparameters) -> None:
    """Write them as JSON, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": found.kind,
        "target": found.target,
        "species": None if found.species is None else list(found.species),
        "hyperparameters": found.pack(),
        "search": dict(found.search),
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def read_hyperparameters(path: str | Path) -> Hyperparameters | NetworkHyperparameters:
    """Read what `write_hyperparameters` wrote, or a person by the same pattern: of a kernel model, or of a network.

    Raises:
        InputError: the file is missing, no such JSON, of a newer version, or holds values that no model can have.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            "no such file of hyperparameters; make one with `efg-jax tune`, or mend the path", file=str(path)
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(
            f"is no readable JSON ({type(error).__name__}); give what `efg-jax tune --out` wrote", file=str(path)
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"holds no {FORMAT}; give what `efg-jax tune --out` wrote", file=str(path))
    if content.get("version") != VERSION:
        raise InputError(
            f"has version {content.get('version')}, this efg_jax reads {VERSION}; tune again, or upgrade",
            file=str(path),
        )
    try:
        values, kind, target = content["hyperparameters"], content["model"], content["target"]
        others = {
            "target": tuple(map(str, target)) if isinstance(target, list) else str(target),
            "species": None if content["species"] is None else tuple(map(str, content["species"])),
            "search": content.get("search", {}),
        }
        if kind == "network":
            return NetworkHyperparameters.unpack(values, **others)
        return Hyperparameters.unpack({"tensor": "tensor", "scalar": "scalar"}[kind], values, **others)
    except InputError as error:
        raise InputError(str(error), file=str(path)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"lacks a hyperparameter or holds one of the wrong kind ({type(error).__name__}: {error}); tune again",
            file=str(path),
        ) from error
