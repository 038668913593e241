"""Strict settings for every test: float64, no silent broadcasting, no silent promotion; random structures come from one place."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Testing is compiling: programs that are not optimised take two thirds of the time in all. `XLA_FLAGS= make test` optimises them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ["EFG_JAX_CACHE"] = "off"  # commands that tests start leave the user's folder of compiled programs alone

import hypothesis
import jax

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
