"""The loss of a set of hyperparameters on given data: compiled, kept on disk, several at a time on several cores."""

import logging
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from efg_jax.gp import ScalarGPR
from efg_jax.precision import x64
from efg_jax.storage.fingerprints import digest, fingerprint
from efg_jax.storage.journal import Journal
from efg_jax.structures.targets import Target
from efg_jax.tuning.cross_validation import HeldOutProblem, cross_validated_loss, held_out_problems
from efg_jax.tuning.space import Model, values_of
from efg_jax.version import __version__

logger = logging.getLogger(__name__)

MARGIN = 1.3
"""Neighbours are gathered this much further than the cutoff; when it grows beyond, they are gathered again."""
_SLACK = 1.4  # a cutoff this much below what was gathered for wastes more time than gathering again

_MOST_COMPILED = 16
_compiled: OrderedDict[Hashable, Any] = OrderedDict()
"""Compiled losses and gradients, which other objectives of the same shapes use too; the one unused for longest goes first."""


class Evaluation(NamedTuple):
    """One evaluation of the loss.

    Attributes:
        values: all hyperparameters by name.
        loss: infinite where the kernel matrix is not positive definite.
        gradient: with respect to each of ``values``, if it was asked for.
        cpu_s: processor seconds that it took (compilation apart), also where it now came from disk.
        wall_s: seconds on the clock.
    """

    values: Mapping[str, np.ndarray]
    loss: float
    gradient: Mapping[str, np.ndarray] | None
    cpu_s: float
    wall_s: float


class Objective:
    """A cross-validated loss on fixed data, with what is expensive kept: neighbours, compiled functions, results.

    Args:
        model: whose descriptor, with species, says what hyperparameters there are.
        structures: checked frames with labels.
        target: of atoms.
        terms: weights of losses by name (`losses.parse_loss`).
        folds: number of folds, or None: each structure is held out by itself.
        environments: about how many of each species are used; None: all.
        seed: of folds and subset.
        weights: of the species.
        cache: folder of results that other searches may share; None: results are kept in memory.
        workers: evaluations at a time.
    """

    def __init__(
        self,
        model: Model,
        structures: Sequence[Atoms],
        target: Target,
        terms: Mapping[str, float],
        *,
        folds: int | None = 5,
        environments: int | None = None,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
        cache: str | Path | None = None,
        workers: int = 1,
    ):
        self.model, self.structures, self.target, self.terms = model, structures, target, dict(terms)
        self.folds, self.environments, self.seed, self.weights = folds, environments, seed, dict(weights or {})
        self.workers = workers
        self.start = values_of(model)
        self.compile_s = 0.0
        self._reach, self._problems = 0.0, None
        self.gather(float(model.descriptor.cutoff))
        self.journal = Journal(cache, self.identity())
        self.journal.warn_of_others()

    def identity(self) -> dict[str, Any]:
        """All that a loss depends on besides the hyperparameters."""
        descriptor = self.model.descriptor
        return {
            "version": __version__,
            "data": fingerprint(self.structures, (self.target.name,)),
            "target": self.target.name,
            "model": type(self.model).__name__,
            "species": list(self.model.species or ()),
            "descriptor": [descriptor.nmax, descriptor.lmax, list(descriptor.species), descriptor.normalise],
            "hard_cutoff": descriptor.cutoff_width is None,
            "loss": self.terms,
            "folds": self.folds,
            "environments": self.environments,
            "seed": self.seed,
            "weights": self.weights,
        }

    @property
    def problems(self) -> list[HeldOutProblem]:
        """Data of each species."""
        return self._problems

    def with_environments(self, environments: int | None) -> "Objective":
        """The same loss on another number of environments, without a cache."""
        return Objective(
            self.model,
            self.structures,
            self.target,
            self.terms,
            folds=self.folds,
            environments=environments,
            seed=self.seed,
            weights=self.weights,
        )

    @property
    def is_whole(self) -> bool:
        """Whether all environments are used: whole structures are drawn until there are as many as were asked for."""
        return self.environments is None or all(count < self.environments for count in self.counts)

    @property
    def counts(self) -> list[int]:
        """Number of environments of each species that are used."""
        return [problem.count for problem in self._problems]

    def gather(self, cutoff: float) -> None:
        """Make sure that all neighbours within a cutoff are at hand (host); what was compiled for other shapes stays."""
        if cutoff <= self._reach <= _SLACK * MARGIN * cutoff:
            return
        if self._problems is not None:
            logger.info("cutoff %.2f Å: gathering neighbours up to %.2f Å", cutoff, MARGIN * cutoff)
        self._reach = MARGIN * cutoff
        with x64():
            self._problems = held_out_problems(
                self.structures,
                self.target,
                self.model.species,
                self.model.descriptor,
                self._reach,
                self.folds,
                self.seed,
                self.environments,
                scalar=isinstance(self.model, ScalarGPR),
                weights=self.weights,
            )

    def value(self, values: Mapping[str, np.ndarray]) -> Evaluation:
        """Loss at one point."""
        return self.evaluate([values])[0]

    def evaluate(self, points: Sequence[Mapping[str, np.ndarray]]) -> list[Evaluation]:
        """Losses at several points, as many at a time as there are workers."""
        missing = {self._key(values, False): values for values in points if self._known(values, gradient=False) is None}
        if missing:
            self.gather(max(float(values["cutoff"]) for values in missing.values()))
            function = self._function(gradient=False, values=next(iter(missing.values())))
            clock, processor = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(self.workers) as pool:
                jobs = {key: pool.submit(self._run, function, values) for key, values in missing.items()}
                results = {key: job.result() for key, job in jobs.items()}
            cpu_s = (time.process_time() - processor) / len(missing)
            wall_s = (time.perf_counter() - clock) / len(missing)
            for key, values in missing.items():
                self._keep(key, values, float(results[key]), None, cpu_s, wall_s)
        return [self._known(values, gradient=False) for values in points]

    def value_and_gradient(self, values: Mapping[str, np.ndarray]) -> Evaluation:
        """Loss and its exact gradient at one point."""
        if (known := self._known(values, gradient=True)) is not None:
            return known
        self.gather(float(values["cutoff"]))
        function = self._function(gradient=True, values=values)
        clock, processor = time.perf_counter(), time.process_time()
        loss, slope = self._run(function, values)
        cpu_s, wall_s = time.process_time() - processor, time.perf_counter() - clock
        slope = {name: np.asarray(slope[name]) for name in values}
        self._keep(self._key(values, True), values, float(loss), slope, cpu_s, wall_s)
        return self._known(values, gradient=True)

    def _run(self, function, values):
        with x64():  # precision belongs to a thread
            return jax.block_until_ready(function({k: jnp.asarray(v) for k, v in values.items()}, self._problems))

    def _function(self, gradient: bool, values: Mapping[str, np.ndarray]):
        """Compiled for the present shapes, once a process; the time that this takes is counted apart."""
        descriptor, terms = self.model.descriptor, self.terms
        with x64():
            arguments = ({k: jnp.asarray(v) for k, v in values.items()}, self._problems)
            leaves, structure = jax.tree.flatten(arguments)
            # All leaves of the descriptor are among the values: what remains of it is static.
            static = (descriptor.nmax, descriptor.lmax, descriptor.species, descriptor.normalise)
            key = (gradient, structure, tuple(map(np.shape, leaves)), static, tuple(terms.items()))
            if key in _compiled:
                _compiled.move_to_end(key)
                return _compiled[key]

            def loss(values, problems):
                return cross_validated_loss(descriptor, values, problems, terms)

            clock = time.perf_counter()
            _compiled[key] = jax.jit(jax.value_and_grad(loss) if gradient else loss).lower(*arguments).compile()
            self.compile_s += time.perf_counter() - clock
        if len(_compiled) > _MOST_COMPILED:
            _compiled.popitem(last=False)
        return _compiled[key]

    def _known(self, values: Mapping[str, np.ndarray], gradient: bool) -> Evaluation | None:
        entry = self.journal.get(self._key(values, gradient))
        if entry is None and not gradient:
            entry = self.journal.get(self._key(values, True))
        if entry is None:
            return None
        loss = np.inf if entry["loss"] is None else entry["loss"]
        slope = entry.get("gradient")
        slope = None if slope is None else {name: np.asarray(part, dtype=np.float64) for name, part in slope.items()}
        return Evaluation(values, loss, slope, entry["cpu_s"], entry["wall_s"])

    def _keep(self, key: str, values, loss: float, slope, cpu_s: float, wall_s: float) -> None:
        entry = {
            "values": {name: np.asarray(value).tolist() for name, value in values.items()},
            "loss": loss if np.isfinite(loss) else None,
            "cpu_s": round(cpu_s, 4),
            "wall_s": round(wall_s, 4),
        }
        if slope is not None:
            # A gradient that is not finite is kept as zero: the loss says that the point is bad.
            entry["gradient"] = {
                name: np.nan_to_num(part, posinf=0.0, neginf=0.0).tolist() for name, part in slope.items()
            }
        self.journal.put(key, entry)

    @staticmethod
    def _key(values: Mapping[str, np.ndarray], gradient: bool) -> str:
        """Exact to the last bit: hyperparameters that differ by rounding are different points."""
        exact = {name: np.asarray(value, dtype=np.float64).tobytes().hex() for name, value in values.items()}
        return digest({"gradient": gradient, "values": exact})
