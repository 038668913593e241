"""Compiled programs on disk: a second command with the same shapes starts without compiling.

JAX identifies an entry by the program, the version of jaxlib, and the processor or accelerator with its instructions,
so that machines with a common home directory can share one folder. An unreadable entry is compiled again.
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
"""A quarter of the memory maps that a process may have, because one training can compile hundreds of programs."""
_MAPS = Path("/proc/self/maps")

# XLA ends the process at an unknown flag, hence the version.
_QUICKER = {"0.10.": "--xla_cpu_use_fusion_emitters=false"}


def cache_folder() -> Path:
    """Default folder for compiled programs: in the user's cache folder of this system."""
    return platformdirs.user_cache_path("efg_jax", appauthor=False) / "compiled"


def compilation_cache(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Store compiled programs in a folder from now on, and load them from there; for notebooks and scripts.

    The command line does this by itself; importing efg_jax does not.

    Args:
        folder: made if it is missing. Anyone who can write to it can run code as you. None: `cache_folder`.

    Returns:
        The folder; None if it cannot be written to, and nothing is stored.
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

    Of XLA's two ways to emit fused loops the older one compiles faster here, and the programs are as fast. Sets the
    variable XLA_FLAGS unless it is set already. The command line does this by itself; importing efg_jax does not.
    """
    quicker = next((flag for release, flag in _QUICKER.items() if version("jaxlib").startswith(release)), None)
    if quicker:
        os.environ.setdefault("XLA_FLAGS", quicker)


def drop_programs(most: int = MOST_MAPS) -> bool:
    """Drop all compiled programs once they use too many memory maps; for loops over trainings of many shapes.

    A compiled program takes memory maps, of which Linux gives a process 65,530; a process that has used all of them
    dies in the compiler. Dropped programs are compiled again when needed, also those of other code in this process.

    Args:
        most: number of memory maps up to which nothing is dropped.

    Returns:
        Whether the programs were dropped; always False on other systems than Linux.
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
    """Set up the cache for a command, before JAX is imported, from environment variables.

    EFG_JAX_CACHE names another folder or is ``off``. If JAX's own JAX_COMPILATION_CACHE_DIR is set, everything is left
    to JAX's variables. Programs are compiled quickly (`compile_quickly`).
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
        # On some processors XLA warns at every entry that it was compiled for another machine, although it was not.
        # With the plugin of an accelerator XLA's messages may matter.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name, value in _settings(folder).items():
        os.environ.setdefault(name.upper(), str(value))


def _settings(folder: Path) -> dict[str, str | float]:
    """Store every program: many are small, and reading one is a hundred times faster than compiling it."""
    return {"jax_compilation_cache_dir": str(folder), "jax_persistent_cache_min_compile_time_secs": 0.0}


def _usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def _silence() -> None:
    """Silence warnings about damaged entries, which are simply compiled again."""
    warnings.filterwarnings("ignore", message="Error (reading|writing) persistent compilation cache entry")


def _remove_unused(folder: Path) -> None:
    """Remove entries that were neither written nor (as far as the file system records) read for a month."""
    oldest = time.time() - _UNUSED_DAYS * 24 * 3600
    for entry in folder.glob("*-cache"):
        try:
            status = entry.stat()
            if max(status.st_atime, status.st_mtime) < oldest:
                entry.unlink()
        except OSError:
            continue  # another command was faster
