"""GPAW 22.8 of Debian 12 on one core of a present-day machine: the same numbers in a third of the time.

Three things cost more than the physics does, all measured on the 42-atom Li4Ti5O12 cell:

- OpenBLAS 0.3.21 takes a processor that is younger than itself for one of 2004 ("Prescott"): 10 instead of 55 GFLOP/s
in zgemm. - Every large temporary array is new memory of the kernel's, page by page, where the heap could be used
again. - The starting orbitals are put on the grid ten bands at a time, each time with all basis functions evaluated
anew; and the
  projector functions are evaluated anew in reciprocal space each time they are used.
"""

import os
import sys
from collections.abc import Mapping, MutableMapping
from pathlib import Path

BANDS_AT_A_TIME = 160
LARGEST_CACHE = 2**30  # bytes of projector functions, a calculation


def environment(cpu_flags: str | None = None) -> dict[str, str]:
    """Variables under which the process should have been started: they are read when libraries are loaded.

    Args:
        cpu_flags: instruction sets of the processor; this machine's if not given.
    """
    flags = _cpu_flags() if cpu_flags is None else cpu_flags.split()
    kernels = {"avx512f": "SkylakeX", "avx2": "Haswell"}
    kernel = next((name for flag, name in kernels.items() if flag in flags), None)
    return {
        "OMP_NUM_THREADS": "1",  # two workers of one thread do more than one of two
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(2**33),
        "MALLOC_TOP_PAD_": str(2**28),
        **({"OPENBLAS_CORETYPE": kernel} if kernel else {}),
    }


def restart_with(variables: Mapping[str, str], present: MutableMapping[str, str] = os.environ) -> None:
    """Start this command again with the variables that are not set yet; does nothing where all are."""
    missing = {name: value for name, value in variables.items() if name not in present}
    if missing:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**present, **missing})


def hasten_gpaw() -> None:
    """Put all starting orbitals on the grid at once, and keep the projector functions. Safe to call twice."""
    from gpaw.pw.lfc import PWLFC
    from gpaw.wavefunctions.pw import PWWaveFunctions

    PWWaveFunctions.initialize_from_lcao_coefficients.__defaults__ = (BANDS_AT_A_TIME,)
    if hasattr(PWLFC, "evaluated_expand"):
        return
    PWLFC.evaluated_expand, PWLFC.moved_positions = PWLFC.expand, PWLFC.set_positions

    def expand(self, q=-1, G1=0, G2=None, cc=False):
        if (
            q < 0 or self.pd.dtype != complex
        ):  # densities and potentials, used once; real ones, which GPAW changes in place
            return self.evaluated_expand(q, G1, G2, cc)
        kept = self.__dict__.setdefault("kept", {})
        key = (q, G1, G2, cc)
        if key not in kept:
            values = self.evaluated_expand(q, G1, G2, cc)
            if sum(array.nbytes for array in kept.values()) + values.nbytes > LARGEST_CACHE:
                return values
            kept[key] = values
        return kept[key]

    def set_positions(self, *args, **options):
        self.__dict__.pop("kept", None)
        return self.moved_positions(*args, **options)

    PWLFC.expand, PWLFC.set_positions = expand, set_positions


def _cpu_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    return next((line.split() for line in lines if line.startswith("flags")), [])
