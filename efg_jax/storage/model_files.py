"""Model files: one npz of plain arrays and a JSON header; reading one runs no code."""

import hashlib
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write

FORMAT = "efg_jax model"
VERSION = 2
_HEADER = "header"
# Errors of NumPy and the zip reader on damaged bytes: an encrypted flag, a header that never ends, ...
_DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, tokenize.TokenError)


def write_model(path: str | Path, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a model file, completely or not at all.

    Args:
        path: file, usually ending in ``.npz``.
        header: everything besides the arrays; JSON types only.
        arrays: arrays by name; names may contain slashes.
    """
    content = {"format": FORMAT, "version": VERSION, **header}
    text = json.dumps({**content, "digest": checksum(content, arrays)}, allow_nan=False)
    encoded = np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    with atomic_write(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **{_HEADER: encoded, **arrays})


def read_model(path: str | Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a model file.

    Returns:
        Header and arrays, as given to `write_model`.

    Raises:
        InputError: the file is missing, damaged, not a model file, or of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such model file; train one with `efg-jax train`, or check the path", file=str(path))
    try:
        # Opened here, because np.load does not close what it fails to read.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(bytes(arrays.pop(_HEADER)).decode("utf-8"))
    except (ValueError, KeyError, TypeError, EOFError, OSError, *_DAMAGED) as error:
        raise InputError(
            f"is no readable efg_jax model ({type(error).__name__}); "
            "it may be damaged or cut short: copy or train it again",
            file=str(path),
        ) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT or not isinstance(header.get("version"), int):
        raise InputError("is an npz file, but no efg_jax model; give a file written by `save` or --out", file=str(path))
    if header["version"] > VERSION:
        raise InputError(
            f"was written by a newer efg_jax (file format {header['version']}, this one reads up to {VERSION}); "
            "upgrade efg_jax, or save the model again with the older one",
            file=str(path),
        )
    digest = header.pop("digest", None)
    if digest != checksum(header, arrays):
        raise InputError(
            "is damaged or was changed by hand (its checksum is wrong); copy or train it again", file=str(path)
        )
    return header, arrays


def checksum(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Checksum of everything in a model file; a file that was changed or put together is refused."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode("utf-8"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
