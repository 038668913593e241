"""What JAX compiles, kept on disk: the second command of the same shapes starts without compiling.

An entry belongs to a program, a version of jaxlib, and a processor or accelerator with its instructions (JAX makes its key of all of
them), so that one folder serves a home directory that different machines share. An entry that cannot be read is compiled again.
"""

import gc
import os
import time
import warnings
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import platformdirs

SWITCH = "EFG_JAX_CACHE"
_JAX_FOLDER = "JAX_COMPILATION_CACHE_DIR"
_UNUSED_DAYS = 30

MOST_MAPS = 16_000
"""A quarter of what a process has, since one training may compile hundreds of programs."""
_MAPS = Path("/proc/self/maps")

# XLA ends the process at a flag that it does not know, hence the version.
_QUICKER = {"0.10.": "--xla_cpu_use_fusion_emitters=false"}


def cache_folder() -> Path:
    """Where compiled programs are kept unless another folder is named: in the user's cache folder of this system."""
    return platformdirs.user_cache_path("efg_jax", appauthor=False) / "compiled"


def compilation_cache(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Keep what JAX compiles from now on in a folder, and find it there the next time; for notebooks and scripts.

    The command line does so by itself. Importing efg_jax does not.

    Args:
        folder: made if it is missing; anyone who can write to it can run code as you. None: `cache_folder`.

    Returns:
        The folder; None where it cannot be written to, and nothing is kept.
    """
    import jax

    folder = cache_folder() if folder is None else Path(folder)
    if not _usable(folder):
        return None
    _silence()
    for name, value in _settings(folder).items():
        jax.config.update(name, value)
    return folder


def compile_quickly() -> None:
    """Compile for a CPU in half the time, from the first computation on; for notebooks and scripts.

    Of XLA's two ways to emit fused loops the older compiles faster here, and what it compiles is no slower. Sets the variable XLA_FLAGS, unless it is
    set. The command line does so by itself. Importing efg_jax does not.
    """
    quicker = next((flag for release, flag in _QUICKER.items() if version("jaxlib").startswith(release)), None)
    if quicker:
        os.environ.setdefault("XLA_FLAGS", quicker)


def drop_programs(most: int = MOST_MAPS) -> bool:
    """Forget all compiled programs once they take much of what Linux gives a process; for loops over trainings or models of many shapes.

    A compiled program takes memory maps, of which a process may have 65,530; one that has them all dies within the compiler. Forgotten
    programs are compiled again when they are wanted, those of other code in this process too.

    Args:
        most: memory maps of the process up to which nothing is done.

    Returns:
        Whether they were forgotten. Elsewhere than on Linux never.
    """
    if not _MAPS.exists() or _MAPS.read_bytes().count(b"\n") <= most:
        return False
    import equinox
    import jax

    equinox.clear_caches()
    jax.clear_caches()
    gc.collect()
    return True


def use_environment() -> None:
    """The same for a command, before JAX is imported: as the environment says.

    EFG_JAX_CACHE names another folder or is ``off``; JAX_COMPILATION_CACHE_DIR, JAX's own, has precedence, and then everything is
    left to JAX's variables. Programs are compiled quickly (`compile_quickly`).
    """
    compile_quickly()
    chosen = os.environ.get(SWITCH, "")
    if chosen.lower() in ("off", "0", "no", "false") or _JAX_FOLDER in os.environ:
        return
    folder = Path(chosen).expanduser() if chosen else cache_folder()
    if not _usable(folder):
        return
    _silence()
    if not chosen:
        _remove_unused(folder)
    if find_spec("jax_plugins") is None:
        # On some processors XLA takes its own entries for another machine's, and says so with every one that it loads. With the
        # plugin of an accelerator its messages are wanted.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, value in _settings(folder).items():
        os.environ.setdefault(name.upper(), str(value))


def _settings(folder: Path) -> dict[str, str | float]:
    """Everything is kept: there are many small programs, and reading one is a hundred times faster than compiling it."""
    return {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.0}


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _silence() -> None:
    """An entry that is damaged or half written costs its compilation, and is none of the user's business."""
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def _remove_unused(folder: Path) -> None:
    """Remove entries that were neither written nor, as far as the file system tells, read for a month."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    for entry in folder.glob("*-cache"):
        try:
            status = entry.stat()
            if max(status.st_atime, status.st_mtime) < oldest:
                entry.unlink()
        except OSError:
            continue  # another command was faster
