"""Predictions in a file: frames are read, predicted and written one by one, and an interrupted run can be resumed."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from efg_jax.datasets.sources import digests, stream_structures
from efg_jax.errors import InputError
from efg_jax.io.extended_xyz import FrameWriter
from efg_jax.models.annotation import annotate
from efg_jax.models.predicted import nothing_to_predict
from efg_jax.models.protocol import FittedModel
from efg_jax.parallel import Shards, barrier, count, first, share
from efg_jax.storage.fingerprints import digest
from efg_jax.storage.model_files import checksum
from efg_jax.tensors.nuclei import Isotope, default_isotope, moments_used
from efg_jax.tensors.nuclei import isotope as find_isotope

logger = logging.getLogger(__name__)

Frames = Callable[[int], None]
"""Called with the number of frames in the file."""


def predict_to_file(
    fitted: FittedModel,
    sources: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    isotopes: Mapping[str, Isotope | str] | None = None,
    resume: bool = False,
    distributed: bool = False,
    progress: Frames | None = None,
    **options: Any,
) -> int:
    """Predict structures of any number and size, and write them with the predictions as extended XYZ.

    The frames are those of `annotation.annotated`. Until all are there they are in ``OUT.partial``, with a note
    ``OUT.partial.json`` on what they were made from.

    Args:
        fitted: model.
        sources: files, or names of data sets that ship; one or several.
        out: file to write; compressed where the name ends in .gz, .bz2 or .xz.
        isotopes: isotope by element for C_Q; for the other elements the one that NMR uses.
        resume: continue after the frames that an interrupted run left, if it left any.
        distributed: this is one of several processes that share the frames (`efg_jax.parallel`); each writes a part,
            and the first joins them. Finished parts are kept, and interrupted ones resumed.
        progress: called with the number of frames in the file (of this process's part), first with those that were
            left.
        options: of `FittedModel.predict_targets`: targets, variance, dtype, species, indices, chunk.

    Returns:
        Number of frames in the file.

    Raises:
        InputError: as `FittedModel.predict_targets`; bad sources; nothing to predict; with ``resume``, frames that were
            made from other structures, by another model or with other options; ``out`` cannot be written.
    """
    nuclei = {symbol: find_isotope(nucleus) for symbol, nucleus in (isotopes or {}).items()}
    job = _Job(fitted, sources, _settled(fitted, options), nuclei, progress or (lambda frames: None))
    identity = job.identity()
    if not distributed:
        return _predict(job, Path(out), identity, resume)
    logger.info("counting frames")
    frames = sum(1 for _ in stream_structures(sources))
    shards = Shards(Path(out), max(1, min(count(), frames)), key=digest(identity)[:8])
    for part in shards.mine():
        rows = share(frames, part, shards.parts)
        _predict(job, shards.path(part), identity | {"part": [part, shards.parts]}, True, rows)
    barrier("predicted")
    first(shards.join)
    return frames


class _Job(NamedTuple):
    """What is predicted of what; options are those of ``predict_targets``."""

    fitted: FittedModel
    sources: str | Path | Sequence[str | Path]
    options: dict[str, Any]
    isotopes: dict[str, Isotope]
    progress: Frames

    def identity(self) -> dict[str, Any]:
        """All that the frames depend on."""
        header, arrays = self.fitted.pack()
        return {
            "model": checksum({"options": self.fitted.model.to_dict(), **header}, arrays),
            "structures": digests(self.sources),
            "isotopes": sorted(map(str, self.isotopes.values())),
            "moments": moments_used(self.isotopes.get(one) or default_isotope(one) for one in self.fitted.species),
            **{name: value for name, value in self.options.items() if name != "chunk"},
        }


def _settled(fitted: FittedModel, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults, as JSON types."""
    known = {"targets": None, "variance": False, "dtype": None, "species": None, "indices": None, "chunk": "auto"}
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"unknown option {unknown[0]!r} of a prediction; choose among {', '.join(known)}")
    chosen = known | dict(options)
    for name in ("targets", "species"):
        if isinstance(chosen[name], str):
            chosen[name] = [chosen[name]]
    chosen["targets"] = list(chosen["targets"] or fitted.targets)
    chosen["dtype"] = chosen["dtype"] or fitted.default_dtype
    chosen["species"] = None if chosen["species"] is None else list(chosen["species"])
    chosen["indices"] = None if chosen["indices"] is None else np.asarray(chosen["indices"]).tolist()
    return chosen


def _predict(job: _Job, out: Path, identity: dict[str, Any], resume: bool, rows: slice | None = None) -> int:
    """Predict frame by frame, and write each when it is there; the number of frames in the file.

    Args:
        job: what is predicted.
        out: file to write.
        identity: all that its frames depend on.
        resume: continue what an earlier run left.
        rows: numbers of the frames; None: all.
    """
    positions, present = deque(), set()

    def frames(position: Sequence[int] | None) -> Iterator[Atoms]:
        for after, atoms in _rows(stream_structures(job.sources, position), position, rows, writer.frames):
            positions.append(after)
            present.update(atoms.symbols)
            yield atoms

    writer = FrameWriter(out, identity, resume)
    if any_predicted := writer.frames > 0:
        logger.info("%d frames are there already", writer.frames)
        job.progress(writer.frames)
    with writer:
        for found in job.fitted.predict_targets(frames(writer.position), **job.options):
            writer.append(annotate(found, job.fitted.targets, job.isotopes), positions.popleft())
            any_predicted = any_predicted or any(len(own.centres) > 0 for own in found.values())
            job.progress(writer.frames)
        if not any_predicted and rows is None:  # the parts of others may have what this one lacks
            writer.discard()
            job.progress(0)
            raise nothing_to_predict(job.options["species"] or job.fitted.species, present)
    return writer.frames


def _rows(
    numbered: Iterable[tuple[Any, Atoms]], position: Sequence[int] | None, rows: slice | None, done: int
) -> Iterable[tuple[Any, Atoms]]:
    """The frames of a part; a position has those before it left out already."""
    if rows is None:
        return numbered
    begin = rows.start if position is None else 0
    return islice(numbered, begin, begin + rows.stop - rows.start - done)
