"""Tuned hyperparameters as a file: JSON that a person can read, with the search that found them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from efg_jax.errors import InputError
from efg_jax.models import Model, model_class
from efg_jax.storage.atomic_write import atomic_write

FORMAT = "efg_jax hyperparameters"
VERSION = 1


@dataclass(frozen=True)
class Hyperparameters:
    """The hyperparameters of a model, of whatever kind.

    Attributes:
        kind: of the model (`efg_jax.models.KINDS`).
        values: `Model.hyperparameters`, as JSON types.
        target: name of what they were tuned for, or several.
        species: elements that they were tuned for; None: all that had labels.
        search: how they were found, as JSON types.
    """

    kind: str
    values: Mapping[str, Any]
    target: str | tuple[str, ...]
    species: tuple[str, ...] | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, model: Model, search: Mapping[str, Any] | None = None) -> "Hyperparameters":
        """Those of a model that is not fitted."""
        targets = model.targets
        return cls(
            model.kind,
            model.hyperparameters(),
            targets[0] if len(targets) == 1 else targets,
            model.species,
            search or {},
        )

    def apply(self, model: Model) -> Model:
        """The model with these hyperparameters; its species and target stay its own.

        Raises:
            InputError: they are those of another family of models.
        """
        own = self.model()
        if own.family != model.family:
            raise InputError(
                f"these hyperparameters are those of a {own.family}, and the model is a {model.family}; tune one "
                f"(`efg-jax tune --model {model.kind}`)"
            )
        return model.with_hyperparameters(own.hyperparameters())

    def model(self) -> Model:
        """A model of the kind, target and species that they were tuned for, not fitted."""
        kind = model_class(self.kind)
        options = kind().to_dict()
        for name, value in self.values.items():  # a person may leave out what the defaults say
            usual = options.get(name)
            options[name] = {**usual, **value} if isinstance(usual, dict) and isinstance(value, dict) else value
        return kind.from_dict({**options, "species": self.species, "target": self.target})


def write_hyperparameters(path: str | Path, found: Hyperparameters) -> None:
    """Write them as JSON, whole or not at all."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": found.kind,
        "target": found.target,
        "species": None if found.species is None else list(found.species),
        "hyperparameters": dict(found.values),
        "search": dict(found.search),
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def read_hyperparameters(path: str | Path) -> Hyperparameters:
    """Read what `write_hyperparameters` wrote, or a person by the same pattern.

    Raises:
        InputError: the file is missing, no such JSON, of another version, or holds values that no model can have.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # with or without an editor's byte-order mark
    except FileNotFoundError:
        raise InputError(
            "no such file of hyperparameters; make one with `efg-jax tune`, or check the path", file=str(path)
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
        target, species = content["target"], content["species"]
        found = Hyperparameters(
            content["model"],
            content["hyperparameters"],
            tuple(map(str, target)) if isinstance(target, list) else str(target),
            None if species is None else tuple(map(str, species)),
            content.get("search", {}),
        )
        if missing := found.model().hyperparameters().keys() - found.values.keys():
            raise KeyError(", ".join(sorted(missing)))
        return found
    except InputError as error:
        raise InputError(str(error), file=str(path)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"lacks a hyperparameter or holds one of the wrong kind ({type(error).__name__}: {error}); tune again",
            file=str(path),
        ) from error
