"""The caller's precision is left alone, and does not change the numbers."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.labelled_crystals import crystals

from efg_jax import LambdaSOAP, ScalarGPR, TensorGPR, load

SCRIPT = """
import sys
import jax
import efg_jax
from test_precision import results
assert not jax.config.jax_enable_x64
results(sys.argv[1])
assert not jax.config.jax_enable_x64
assert jax.numpy.zeros(1).dtype == "float32"
"""


def results(path: str) -> None:
    """Fit, predict, save, load and evaluate; the numbers go to a file."""
    soap = LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5)
    frames, atoms = crystals(4, seed=0), crystals(1, seed=1)[0]
    model = TensorGPR(soap, species="O").fit(frames)
    tensors, variance = model.predict(atoms, variance=True)
    model.save(path + ".model")
    assert np.array_equal(load(path + ".model").predict(atoms), tensors, equal_nan=True)
    scalars = ScalarGPR(soap, species="O").fit(frames).predict(atoms)
    model.evaluate([atoms])
    np.savez(path, tensors=tensors, variance=variance, **scalars)


@pytest.mark.slow
def test_the_callers_precision_is_left_alone_and_does_not_matter(tmp_path):
    """Another process, without x64 and without the tests' strict settings, gets the numbers of this one."""
    paths = [str(tmp_path / name) for name in ("single.npz", "double.npz")]
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-W", "error", "-c", SCRIPT, paths[0]]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path}, timeout=300)
    assert jax.config.jax_enable_x64
    results(paths[1])
    single, double = map(np.load, paths)
    for name in double.files:
        scale = np.nanmax(np.abs(double[name]))
        assert_allclose(single[name], double[name], rtol=1e-12, atol=1e-12 * scale, err_msg=name)
