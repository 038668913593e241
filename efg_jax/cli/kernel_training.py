"""What `efg-jax train` does for kernel models."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from efg_jax.cli.inputs import contracted, read_labelled
from efg_jax.cli.outputs import cache_beside
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.gp import ScalarGPR, TensorGPR
    from efg_jax.structures.targets import Target


class KernelOptions(NamedTuple):
    """What the command line says of a kernel model.

    Attributes:
        kind: of the model; "gpr" is another name of "tensor".
        descriptor: arguments of `LambdaSOAP`.
        zeta, regularisation, per: of the model.
        sparse: its arguments ``inducing``, ``selection`` and ``primal``.
        hyperparameters: file that has the descriptor, ζ and ρ instead.
        contract: number of channels that the density is contracted to.
    """

    kind: Literal["tensor", "gpr", "scalar"]
    descriptor: dict[str, Any]
    zeta: float
    regularisation: float | Literal["auto"]
    per: Literal["atom", "structure"] | None
    sparse: dict[str, Any]
    hyperparameters: Path | None
    contract: int | None

    def untrained(self, target: str, species: tuple[str, ...] | None) -> "TensorGPR | ScalarGPR":
        """The model to fit.

        Raises:
            InputError: options that cannot be.
        """
        from efg_jax.descriptors import LambdaSOAP
        from efg_jax.gp import ScalarGPR, TensorGPR

        descriptor = LambdaSOAP(**self.descriptor)
        if self.kind == "scalar":
            if self.per == "structure":
                raise InputError(
                    "--model scalar learns EFG tensors of atoms; leave --per structure out, or use --model tensor"
                )
            model = ScalarGPR(descriptor, species, target, self.zeta, self.regularisation)
        else:
            model = TensorGPR(descriptor, species, target, self.zeta, self.regularisation, self.per, **self.sparse)
        if self.hyperparameters is None:
            return model
        from efg_jax.tuning import read_hyperparameters

        return read_hyperparameters(self.hyperparameters).apply(model)


class KernelLearner:
    """A kernel model from the command line to its fit.

    Attributes:
        model: to be fitted.
        elements: that it knows before it is fitted: none.

    Raises:
        InputError: several targets, or options that cannot be.
    """

    elements: tuple[str, ...] = ()

    def __init__(
        self,
        options: KernelOptions,
        targets: tuple[str, ...] | None,
        species: tuple[str, ...] | None,
        array: str | None,
        progress: Progress,
    ):
        if targets is not None and len(targets) > 1:
            raise InputError("a kernel model learns one target; give one, or use --model network")
        self._options, self._array, self._progress = options, array, progress
        self.model = options.untrained(targets[0] if targets else "efg", species)

    def read(self, data: Sequence[str], index: str) -> "tuple[list[Atoms], dict[str, Target]]":
        """Structures with their labels, and what the target is."""
        from efg_jax.structures.targets import target_of

        target, per = self.model.target, self._options.per
        frames = read_labelled(data, target, self._array, per, index)
        return frames, {target: target_of(target, frames, per)}

    def predicted(self, target: str) -> Sequence[str]:
        """Elements whose target it predicts before it is fitted: none."""
        return ()

    def fit(self, training: "list[Atoms]", cache: Path | None, resume: bool) -> "TensorGPR | ScalarGPR":
        """Fitted; with a bar where it is done piece by piece. Who interrupts that is told how to go on."""
        model = contracted(self.model, training, self._options.contract)
        text = f"training on {len(training)} structures"
        if cache is None:
            self._progress.stage(text)
            return model.fit(training)
        with self._progress.bar(text) as bar:

            def summed(done: int, chunks: int, name: str) -> None:
                bar.advance(name, chunks, done=done)

            try:
                return model.fit(training, checkpoint=cache, resume=resume, progress=summed)
            except KeyboardInterrupt:
                if bar.done:
                    self._progress.say(
                        f"stopped after {bar.done} of {bar.total} parts; the same command with --resume goes on from there"
                    )
                raise


def kernel_cache(out: Path, kind: str, sparse: dict, resume: bool, distributed: bool) -> Path | None:
    """Where a sparse model keeps what it has summed; other models have nothing to keep, and no work to share."""
    if sparse["inducing"] is not None or sparse["primal"]:
        if kind == "scalar":
            raise InputError("a scalar model is dense; leave --inducing and --primal out, or use --model tensor")
        return cache_beside(out, resume)
    for option, given in (("--resume", resume), ("--distributed", distributed)):
        if given:
            raise InputError(
                f"{option} is for what is trained piece by piece; give --inducing N for a sparse model, or (--resume only) --model network"
            )
    return None
