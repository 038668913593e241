"""Tuning of kernel models: the cross-validated loss at a point, compiled, kept on disk, several at a time."""

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

from efg_jax.descriptors.lambda_soap import settled
from efg_jax.errors import InputError
from efg_jax.gp.cross_validation import HeldOutProblem, cross_validated_loss, held_out_problems
from efg_jax.gp.held_out_losses import Terms, parse_loss
from efg_jax.gp.kernel_model import KernelModel
from efg_jax.gp.kernel_parameters import kernel_parameters, values_of, with_values, without_gradient
from efg_jax.models.tuning_problem import EpochReport, EpochWatch, Evaluation, TuningProblem, Values
from efg_jax.precision import x64
from efg_jax.storage.fingerprints import digest, fingerprint
from efg_jax.structures.targets import Target
from efg_jax.version import __version__

logger = logging.getLogger(__name__)

MARGIN = 1.3
"""Neighbours are gathered this much further than the cutoff; when it grows beyond, they are gathered again."""
_SLACK = 1.4  # a cutoff this much below what was gathered for wastes more time than gathering again

_ROWS = 5000  # of the kernel matrices, up to which more environments are taken to report the bias of a subset
_WORTHWHILE = 1.1  # times as many environments
_FACTORS = (3.0, 1.0, 0.3, 0.1)  # of the regularisation, tried there

_MOST_COMPILED = 16
_compiled: OrderedDict[Hashable, Any] = OrderedDict()
"""Compiled losses and gradients, shared by problems of the same shapes; the least recently used goes first."""


@dataclass(frozen=True)
class CrossValidation:
    """How hyperparameters of a kernel model are judged.

    Attributes:
        loss: what to minimise (`gp.held_out_losses`): for an EFG "observables" (the paper's: C̃_Q, η̃, q̃), "tilt",
            "mae-vij", "rmse" or "lml"; for a `ScalarGPR` "observables" or one of its quantities; sums such as
            "observables+0.1*lml". None: "observables", or "rmse" of a target that is no EFG.
        folds: number of folds, by structure; None: each structure is held out by itself.
        environments: about how many environments of each species are used, drawn as whole structures; None: all.
        weights: of the species in the loss, which is their weighted mean; None: equal ones, so that an abundant species
            does not count more than the others.
        workers: evaluations at a time (methods without gradient); None: one a core.
        seed: of folds and subset.
    """

    loss: Terms | None = None
    folds: int | None = 5
    environments: int | None = 500
    weights: Mapping[str, float] | None = None
    workers: int | None = None
    seed: int = 0

    def __post_init__(self):
        for name, least in (("folds", 2), ("environments", 1), ("workers", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} = {value} is below {least}")

    @classmethod
    def of(cls, seed: int, options: Mapping[str, Any]) -> "CrossValidation":
        """From the options of a search.

        Raises:
            InputError: an unknown option.
        """
        known = [field.name for field in fields(cls) if field.name != "seed"]
        for name, value in options.items():
            if name not in known:
                raise InputError(f"{name} = {value!r} is no option of kernel models; choose among {', '.join(known)}")
        return cls(seed=seed, **options)


class KernelTuning(TuningProblem[KernelModel]):
    """A cross-validated loss on fixed data, with what is expensive kept: neighbours, compiled functions, evaluations.

    Args:
        model: where the search starts.
        structures: checked frames with labels under the target's name.
        target: of atoms.
        learned: what is learned of the target.
        options: how it is judged.
        fixed: hyperparameters that cannot move in this kind of model, and why.

    Raises:
        InputError: a target per structure, an unknown loss, or more folds than structures.
    """

    what = "kernel models"
    loss_name = "cross-validated loss"
    remedy = "raise the regularisation that the search starts from"
    methods: ClassVar[tuple[str, ...]] = ("gradient", "box-behnken", "bayes")

    def __init__(
        self,
        model: KernelModel,
        structures: Sequence[Atoms],
        target: Target,
        learned: type[HeldOutProblem],
        options: CrossValidation,
        fixed: Mapping[str, str] | None = None,
    ):
        usual = "observables" if target.is_efg else "rmse"
        self.terms = parse_loss(options.loss or usual, learned.losses_of(target.is_efg))
        if options.folds is not None and len(structures) < options.folds:
            raise InputError(
                f"{len(structures)} structures cannot fill {options.folds} folds; give more structures, or "
                f"folds={max(len(structures), 2)}"
            )
        self.model, self.array = replace(model.settled_for(structures), array=None), model.array
        self.structures, self.target, self.learned, self.options = structures, target, learned, options
        self.workers = options.workers or os.cpu_count() or 1
        self.start = values_of(self.model)
        every = kernel_parameters(self.model)
        self.fixed = {**without_gradient(self.model.descriptor), **(fixed or {})}
        self.parameters = {name: parameter for name, parameter in every.items() if name not in self.fixed}
        self.usual = tuple(self.parameters)
        self.compile_s = 0.0
        self._reach, self._problems = 0.0, None
        self._gather(float(self.model.descriptor.cutoff))
        self.keep(None, {})

    def identity(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """All that a loss depends on; the methods share evaluations."""
        descriptor = self.model.descriptor
        return {
            "version": __version__,
            "data": fingerprint(self.structures, (self.target.name,)),
            "target": self.target.name,
            "model": self.model.kind,
            "species": list(self.model.species or ()),
            "descriptor": [descriptor.nmax, descriptor.lmax, list(descriptor.species), descriptor.normalise],
            "hard_cutoff": descriptor.cutoff_width is None,
            "loss": self.terms,
            "folds": self.options.folds,
            "environments": self.options.environments,
            "seed": self.options.seed,
            "weights": dict(self.options.weights or {}),
        }

    @property
    def is_whole(self) -> bool:
        """Whether all environments are used: whole structures are drawn until there are as many as were asked for."""
        most = self.options.environments
        return most is None or all(count < most for count in self.counts)

    @property
    def counts(self) -> list[int]:
        """Number of environments of each species that are used."""
        return [problem.count for problem in self._problems]

    def evaluate(
        self, points: Sequence[Values], report: EpochReport | None = None, watch: EpochWatch | None = None
    ) -> list[Evaluation]:
        """Losses at several points, as many at a time as there are workers; there are no epochs to report."""
        return self._evaluated(points, gradient=False)

    def value_and_gradient(self, values: Values) -> Evaluation:
        """Loss and its exact gradient at one point."""
        return self._evaluated([values], gradient=True)[0]

    def model_at(self, values: Values) -> KernelModel:
        """The model with these values.

        Species weights that the start does not have, and that did not move, stay off. The best regularisation of a
        subset belongs to the subset, so that "auto" stays "auto" unless all environments were used.
        """
        values = dict(values)
        if self.model.descriptor.species_weights is None and (values["species_weights"] == 1.0).all():
            del values["species_weights"]
        is_open = self.model.regularisation == "auto" and not self.is_whole
        return replace(
            self.model,
            descriptor=settled(with_values(self.model.descriptor, values)),
            zeta=np.asarray(values["zeta"], dtype=np.float64),
            regularisation="auto" if is_open else float(values["regularisation"]),
            array=self.array,
        )

    def details(self, start: Values, best: Values) -> dict[str, Any]:
        """Seconds of compilation, environments, and what the loss is on more of them."""
        own = {"compile_s": round(self.compile_s, 3), "environments": self.counts}
        return own | ({} if self.is_whole else self._bias(start, best))

    def _bias(self, start: Values, best: Values) -> dict[str, Any]:
        """Loss of start and best on more environments than the search used: what the subset's estimate is off by.

        The best regularisation depends on the number of environments; where the model leaves it open, so it is here.
        """
        rows = max(part.targets.shape[0] / problem.count for problem in self._problems for part in problem.parts)
        options = replace(
            self.options, loss=self.terms, environments=int(_ROWS / rows / len(self._problems)), workers=1
        )
        wider = KernelTuning(self.model, self.structures, self.target, self.learned, options)
        if sum(wider.counts) < _WORTHWHILE * sum(self.counts):
            return {}
        factors = _FACTORS if self.model.regularisation == "auto" else (1.0,)

        def lowest(values: Values) -> float:
            points = [{**values, "regularisation": factor * values["regularisation"]} for factor in factors]
            return min(evaluation.loss for evaluation in wider.evaluate(points))

        here = [self.value(values).loss for values in (start, best)]
        there = [lowest(values) for values in (start, best)]
        logger.info(
            "on %d environments the loss is %.5g at the start and %.5g at the best point (on the %d that were used: "
            "%.5g and %.5g)", sum(wider.counts), *there, sum(self.counts), *here,
        )  # fmt: skip
        return {
            "more_environments": {
                "environments": wider.counts,
                "start_loss": there[0],
                "best_loss": there[1],
                "bias_start": here[0] - there[0],
                "bias_best": here[1] - there[1],
            }
        }

    def _gather(self, cutoff: float) -> None:
        """Gather all neighbours within a cutoff (host), unless they are at hand."""
        if cutoff <= self._reach <= _SLACK * MARGIN * cutoff:
            return
        if self._problems is not None:
            logger.info("cutoff %.2f Å: gathering neighbours up to %.2f Å", cutoff, MARGIN * cutoff)
        self._reach, options = MARGIN * cutoff, self.options
        with x64():
            self._problems = held_out_problems(
                self.structures,
                self.target,
                self.model.species,
                self.model.descriptor,
                self._reach,
                options.folds,
                options.seed,
                options.environments,
                learned=self.learned,
                weights=options.weights,
            )

    def _evaluated(self, points: Sequence[Values], gradient: bool) -> list[Evaluation]:
        missing = {self._key(values, gradient): values for values in points if self._known(values, gradient) is None}
        if missing:
            self._gather(max(float(values["cutoff"]) for values in missing.values()))
            function = self._function(gradient, next(iter(missing.values())))
            clock, processor = time.perf_counter(), time.process_time()
            with ThreadPoolExecutor(self.workers) as pool:
                results = list(pool.map(lambda values: self._run(function, values), missing.values()))
            cpu_s = (time.process_time() - processor) / len(missing)
            wall_s = (time.perf_counter() - clock) / len(missing)
            for (key, values), result in zip(missing.items(), results, strict=True):
                loss, slope = result if gradient else (result, None)
                self.journal.put(key, _entry(values, float(loss), slope, cpu_s, wall_s))
        return [self._known(values, gradient) for values in points]

    def _run(self, function: Any, values: Values) -> Any:
        with x64():  # JAX keeps the precision by thread, and a new thread does not inherit that of the caller
            return jax.block_until_ready(function({k: jnp.asarray(v) for k, v in values.items()}, self._problems))

    def _function(self, gradient: bool, values: Values) -> Any:
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

    def _known(self, values: Values, gradient: bool) -> Evaluation | None:
        known = (self.journal.get(self._key(values, kind)) for kind in ((True,) if gradient else (False, True)))
        entry = next((found for found in known if found is not None), None)
        if entry is None:
            return None
        loss = np.inf if entry["loss"] is None else entry["loss"]
        slope = entry.get("gradient")
        slope = None if slope is None else {name: np.asarray(part, dtype=np.float64) for name, part in slope.items()}
        return Evaluation(values, loss, entry["cpu_s"], entry["wall_s"], gradient=slope)

    @staticmethod
    def _key(values: Values, gradient: bool) -> str:
        """Exact to the last bit: hyperparameters that differ by rounding are different points."""
        exact = {name: np.asarray(value, dtype=np.float64).tobytes().hex() for name, value in values.items()}
        return digest({"gradient": gradient, "values": exact})


def _entry(values: Values, loss: float, slope: Values | None, cpu_s: float, wall_s: float) -> dict[str, Any]:
    """What the journal keeps of an evaluation."""
    entry = {
        "values": {name: np.asarray(value).tolist() for name, value in values.items()},
        "loss": loss if np.isfinite(loss) else None,
        "cpu_s": round(cpu_s, 4),
        "wall_s": round(wall_s, 4),
    }
    if slope is not None:
        # A gradient that is not finite is kept as zero: the loss says that the point is bad.
        slopes = {name: np.nan_to_num(np.asarray(slope[name]), posinf=0.0, neginf=0.0) for name in values}
        entry["gradient"] = {name: part.tolist() for name, part in slopes.items()}
    return entry
