"""Tensors in general orientation to each other, and structures that carry them."""

import numpy as np
import pytest
from ase import Atoms

pytest.importorskip("mrsimulator", reason="needs the extra [spectra]")


def rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def symmetric(values, seed):
    """A tensor with these principal values along random axes."""
    axes = rotation(seed)
    return axes @ np.diag(values) @ axes.T


@pytest.fixture(scope="session")
def tensor():
    return symmetric


@pytest.fixture(scope="session")
def molecule():
    """Two oxygens and a silicon, with tensors: C_Q of ¹⁷O of a few MHz, axes of EFG and shielding all different."""
    atoms = Atoms("OOSi", positions=[[0, 0, 0], [0, 0, 3], [0, 3, 0]])
    efg = [symmetric(v, k) for k, v in enumerate([(-15, -45, 60), (40, 10, -50), (3, -1, -2)])]
    ms = [symmetric(v, 10 + k) for k, v in enumerate([(230, 240, 310), (180, 260, 270), (390, 400, 420)])]
    atoms.arrays["efg"], atoms.arrays["ms"] = np.array(efg, dtype=float), np.array(ms, dtype=float)
    return atoms
