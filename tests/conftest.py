"""Strict settings for every test: float64, no silent broadcasting, no silent promotion.

Random structures come from one place.
"""

import os
from importlib.metadata import version

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Testing is compiling: programs that are not optimised take two thirds of the time in all. `XLA_FLAGS= make test`
# optimises them.
# The newer of XLA's two ways to emit fused loops takes four times as long to compile. XLA ends the process at a flag
# that it does not know.
if version("jaxlib").startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Threads of OpenBLAS wait for each other by spinning: beside another process on few cores, twenty times the time of a
# single one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["EFG_JAX_CACHE"] = "off"  # commands that tests start leave the user's folder of compiled programs alone

import hypothesis
import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

hypothesis.settings.register_profile(
    "efg_jax",
    deadline=None,  # the first example pays for compilation
    max_examples=20,
    derandomize=True,  # a red run is the same red run for everybody
    print_blob=True,
)
hypothesis.settings.load_profile("efg_jax")

# Files that take a minute or more in a test or two: begun first, or one process works on them alone when all others are
# done.
LONGEST = ("test_notebooks.py", "test_tuning_study.py", "test_lto.py", "test_readme.py", "test_distributed_commands.py")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_are_dropped_in_time():
    """Many tests in a process compile more than it has memory maps for."""
    yield
    from efg_jax.compilation import drop_programs  # not before what is imported is checked for types

    drop_programs()
