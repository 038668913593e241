"""`efg-jax predict`."""

import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import digests, stream_structures
from efg_jax.cli.judging import chosen_targets
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.processes import join_processes
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.gp import ScalarGPR, TensorGPR
    from efg_jax.gp.prediction import Predicted
    from efg_jax.network import EquivariantNetwork
    from efg_jax.tensors.nuclei import Isotope

CHOICE, ARITHMETIC = "Choice of atoms", "Arithmetic"
TELL_EVERY = 60.0  # seconds between lines that stay


def predict(
    model: options.ModelFile,
    structures: Annotated[
        list[str],
        typer.Argument(
            metavar="STRUCTURES",
            help="Structures in any format that ASE reads, trajectories too, or the name of a data set that ships.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Extended XYZ to write; compressed where the name ends in .gz.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    species: Annotated[
        list[str] | None,
        typer.Option(
            "--species",
            metavar="ELEMENT",
            help="Predict these elements only, of those that the model knows: Li,O, or the option again.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    indices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Predict these atoms of every structure only, numbered from 0: 0,5,10-20.",
            rich_help_panel=CHOICE,
        ),
    ] = None,
    target: options.SomeTargets = None,
    chunk: Annotated[
        str,
        typer.Option(
            metavar="N|auto",
            help="Atoms of a kernel model that are worked on at a time: fewer need less memory, and change no result.",
            rich_help_panel=ARITHMETIC,
        ),
    ] = "auto",
    dtype: Annotated[
        Literal["float64", "float32"] | None,
        typer.Option(
            help="Of the arithmetic. Without it float64, in which kernel models are fitted: they are off by up to a few per cent of the tensors in "
            "float32, which is for accelerators. Networks are trained in float32 and predict in it.",
            rich_help_panel=ARITHMETIC,
        ),
    ] = None,
    variance: Annotated[
        bool,
        typer.Option(
            "--variance",
            help="Also write how sure the model is: NAME_std. A network has to be a committee (train --members).",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    isotope: options.Isotopes = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with a prediction that was stopped.", rich_help_panel=OUTPUT),
    ] = False,
    distributed: options.Distributed = False,
    quiet: options.Quiet = False,
) -> None:
    """Predict tensors of structures, and write both as extended XYZ.

    Each frame keeps what it carries and gains the target under its own name (nine numbers an atom, row by row, in place of any label
    that was there; NaN for elements that the model is not for); a target per structure becomes an entry of the comment line. EFG
    tensors come with [bold]c_q[/] (MHz, signed, NaN without a quadrupolar isotope) and [bold]eta[/]. A scalar model gives
    [bold]c_q_tilde, eta_tilde, theta, phi[/] (rad), [bold]v_nn[/] (V/Å²) and [bold]z_axis[/]. NAME_std is the posterior standard
    deviation of the whole tensor, √Σ var V_ij; of a committee of networks, that among its members.

    Trajectories may be of any length, and cells of any size: frames are read, predicted and written one by one. Until all are there
    they are in FILE.partial; what was stopped at any moment goes on with --resume.

    [bold cyan]efg-jax predict o17.npz trajectory.extxyz --out predicted.extxyz[/]
    """
    check_outputs({"--out": out}, inputs=[model, *structures])
    isotopes, atoms = options.parse_isotopes(isotope), parse_indices(indices)
    elements, size = options.parse_species(species), options.parse_count(chunk, "--chunk", "auto")
    if distributed:
        quiet = join_processes(quiet)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.models import load
        from efg_jax.storage.fingerprints import file_digest

        progress.stage(f"reading {model}")
        fitted = load(model, variance=variance)
        arithmetic, dtype = _arithmetic(fitted, options.parse_names(target), size, variance, dtype)
        identity = {
            **({"--target": arithmetic["targets"]} if "targets" in arithmetic else {}),
            "model": file_digest(model),
            "structures": digests(structures),
            "--species": list(elements or ()),
            "--indices": atoms,
            "--dtype": dtype,
            "--variance": variance,
            "--isotope": sorted(map(str, isotopes.values())),
        }
        progress.stage(f"predicting {', '.join(structures)}")
        choice = {"species": elements, "indices": atoms, **arithmetic}
        job = Job(fitted, structures, choice, isotopes, progress)
        count = _share(job, out, identity) if distributed else _predict(job, out, identity, resume)
        progress.wrote(f"{out} ({count} structures)")


class Job(NamedTuple):
    """What is predicted of what.

    Attributes:
        model: fitted.
        sources: files or data sets.
        choice: arguments of the model's ``predict_stream``, of a network those of its ``predict_targets``.
        isotopes: by element, for C_Q.
        progress: of the command.
    """

    model: "TensorGPR | ScalarGPR | EquivariantNetwork"
    sources: list[str]
    choice: dict[str, Any]
    isotopes: "dict[str, Isotope]"
    progress: Progress


def _share(job: Job, out: Path, identity: dict[str, Any]) -> int:
    """As one of several processes: contiguous parts of the frames, a file each, which the first process joins; the number of all frames.

    Parts that an earlier run finished are left as they are, and one that it began is gone on with.
    """
    from efg_jax.parallel import Shards, barrier, count, first, share
    from efg_jax.storage.fingerprints import digest

    job.progress.say("counting frames")
    frames = sum(1 for _ in stream_structures(job.sources))
    shards = Shards(out, max(1, min(count(), frames)), key=digest(identity)[:8])
    for part in shards.mine():
        rows = share(frames, part, shards.parts)
        _predict(job, shards.path(part), identity | {"part": [part, shards.parts]}, True, rows)
    barrier("predicted")
    first(shards.join)
    return frames


def _predict(job: Job, out: Path, identity: dict[str, Any], resume: bool, rows: slice | None = None) -> int:
    """Predict frame by frame, and write each as it is there; the number of frames in the file.

    Args:
        job: what is predicted.
        out: file to write.
        identity: all that its frames depend on.
        resume: go on with what an earlier run left.
        rows: numbers of the frames; None: all.
    """
    model, sources, choice, isotopes, progress = job
    from efg_jax.cli.annotation import annotate
    from efg_jax.gp.prediction import nothing_to_predict
    from efg_jax.io.frame_writer import FrameWriter

    positions, present = deque(), set()

    def frames(position: list[int] | None) -> "Iterator[Atoms]":
        numbered = stream_structures(sources, position)
        if rows is not None:
            begin = rows.start if position is None else 0
            numbered = islice(numbered, begin, begin + rows.stop - rows.start - writer.frames)
        for after, atoms in numbered:
            positions.append(after)
            present.update(atoms.symbols)
            yield atoms

    writer = FrameWriter(out, identity, resume)
    if any_predicted := writer.frames > 0:
        progress.say(f"{writer.frames} frames are there already")
    told = time.monotonic()
    try:
        with writer:
            for found in _predictions(model, frames(writer.position), choice):
                annotate(found, model, isotopes)
                writer.append(next(iter(found.values())).atoms, positions.popleft())
                any_predicted = any_predicted or any(len(own.centres) > 0 for own in found.values())
                progress.update(f"predicting: {writer.frames} frames done")
                if time.monotonic() - told > TELL_EVERY:
                    progress.say(f"{writer.frames} frames done")
                    told = time.monotonic()
            if not any_predicted and rows is None:  # the parts of others may have what this one lacks
                writer.discard()
                raise nothing_to_predict(choice["species"] or model.known, present)
    except BaseException:
        if writer.kept:
            progress.say(f"stopped after {writer.frames} frames; the same command with --resume goes on from there")
        raise
    return writer.frames


def _predictions(
    model: "TensorGPR | ScalarGPR | EquivariantNetwork", frames: "Iterator[Atoms]", choice: dict[str, Any]
) -> "Iterator[dict[str, Predicted]]":
    """Of each structure in turn the prediction of each target by its name."""
    if "targets" in choice:
        return model.predict_targets(frames, **choice)
    return ({model.target: found} for found in model.predict_stream(frames, **choice))


def parse_indices(text: str | None) -> list[int] | None:
    """Whole numbers and ranges that include both ends: "0,5,10-12" → [0, 5, 10, 11, 12]."""
    if text is None:
        return None
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (number.strip() for number in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(
                f"--indices {text}: {part.strip()!r} is neither a number from 0 on nor a range; write 0,5,10-20"
            )
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def _arithmetic(
    model: "TensorGPR | ScalarGPR | EquivariantNetwork",
    targets: tuple[str, ...] | None,
    chunk: int | None,
    variance: bool,
    dtype: Literal["float64", "float32"] | None,
) -> tuple[dict[str, Any], Literal["float64", "float32"]]:
    """What the model predicts, how it is told to, and the precision that this means.

    Raises:
        InputError: a target or an option that this kind of model does not have.
    """
    from efg_jax.gp import ScalarGPR
    from efg_jax.network import EquivariantNetwork

    names = chosen_targets(model, targets)
    if isinstance(model, EquivariantNetwork):
        if chunk is not None:
            raise InputError("--chunk is for kernel models; a network takes whole structures: leave it out")
        dtype = dtype or "float32"
        return {"targets": list(names), "variance": variance, "precision": dtype}, dtype
    pieces = {"chunk": "auto" if chunk is None else chunk}
    if isinstance(model, ScalarGPR):
        _refuse_for_scalars(variance, dtype)
        return pieces, "float64"
    dtype = dtype or "float64"
    return {**pieces, "variance": variance, "precision": dtype}, dtype


def _refuse_for_scalars(variance: bool, dtype: Literal["float64", "float32"] | None) -> None:
    if variance:
        raise InputError("a scalar model has no variance; leave --variance out, or train with --model tensor")
    if dtype == "float32":
        raise InputError("a scalar model computes in float64 only; leave --dtype out, or train with --model tensor")
