"""What makes GPAW fast: the variables a worker starts itself again with, and shortcuts that change no number."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.reference_data import speed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("flags", "kernel"),
    [("fpu sse2 avx2 avx512f", "SkylakeX"), ("fpu sse2 avx2", "Haswell"), ("fpu sse2", None), ("", None)],
)
def test_blas_is_told_the_best_kernel_that_the_processor_runs(flags, kernel):
    assert speed.environment(flags).get("OPENBLAS_CORETYPE") == kernel


def test_a_worker_starts_again_with_what_is_missing_and_leaves_what_the_user_set():
    code = (
        "import os, sys\n"
        "from experiments.reference_data.speed import restart_with\n"
        "restart_with({'OMP_NUM_THREADS': '1', 'MALLOC_MMAP_MAX_': '0'})\n"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['MALLOC_MMAP_MAX_'], *sys.argv[1:])"
    )
    outside = {name: value for name, value in os.environ.items() if name != "MALLOC_MMAP_MAX_"}
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "--out", "lto"],
        env={**outside, "OMP_NUM_THREADS": "3", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["3", "0", "run", "--out", "lto"]
