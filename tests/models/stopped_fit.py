"""A sparse fit that is stopped after the first chunks: python stopped_fit.py FOLDER [CHUNKS]."""

import sys

import efg_jax as ej
from efg_jax.descriptors import LambdaSOAP
from efg_jax.gp import sparse


class Stopped(Exception):
    """The fit was interrupted."""


def molecules():
    """Molecules with many hydrogen atoms: λ = 0 kernels have unit diagonals, so that pivots hang on rounding."""
    return ej.datasets.load("molecules-nmr")[:25]


def model():
    return ej.TensorGPR(LambdaSOAP(cutoff=3.0, nmax=2, lmax=2), "H", "ms", inducing=100, regularisation=1e-4)


def stop_after(chunks):
    def stop(done, total, name):
        if done == chunks:
            raise Stopped

    return stop


if __name__ == "__main__":
    sparse.CHUNK = 32
    try:
        model().fit(molecules(), checkpoint=sys.argv[1], progress=stop_after(2))
    except Stopped:
        print("stopped")
