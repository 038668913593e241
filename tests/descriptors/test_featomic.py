"""λ-SOAP features and kernels against featomic, an independent program."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from hypothesis import given, settings
from numpy.testing import assert_allclose
from oracles import featomic_soap
from oracles.fixed_shape import fixed_shape
from strategies import SPECIES, structures

from efg_jax import datasets
from efg_jax.descriptors import LambdaSOAP
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.structures.environments import environments

pytest.importorskip("featomic")

IRREPS = ((0, 1), (1, 1), (1, -1), (2, 1), (2, -1), (3, 1))
CUTOFF = 4.0
BASIS = {"cutoff": CUTOFF, "nmax": 4, "lmax": 3, "sigma": 0.4}
HARD = {"cutoff_width": None, "scaling_exponent": 0.0, "centre_weight": 1.0}
SMOOTH = {
    "cutoff_width": 0.5,
    "scaling_rate": 1.3,
    "scaling_radius": 2.2,
    "scaling_exponent": 4.0,
    "centre_weight": 0.7,
}
THE_SAME = {  # in featomic's words
    "hard": {},
    "smooth": {"smooth_width": 0.5, "scaling": (1.3, 2.2, 4.0), "centre_weight": 0.7},
}


def oblique() -> Atoms:
    """A primitive cell much smaller than the cutoff, angles of 35°, 48° and 60°."""
    return Atoms(
        ["O", "Si"], scaled_positions=[[0.1, 1.2, -0.3], [0.55, 0.5, 0.4]], cell=[3.6, 4.1, 3.3, 60, 48, 35], pbc=True
    )


def both(frames, symbol: str, species, cutoff: str, irreps=IRREPS, shape=None) -> tuple[dict, dict]:
    """Features by efg_jax and by featomic, neither normalised."""
    soap = LambdaSOAP(**BASIS, **(HARD if cutoff == "hard" else SMOOTH), species=species, normalise="none")
    centres = [np.flatnonzero(np.array(atoms.symbols) == symbol) for atoms in frames]
    batch = environments(frames, CUTOFF, species, centres, pad=shape != "fixed")
    features = eqx.filter_jit(soap)(fixed_shape(batch) if shape == "fixed" else batch, irreps)
    count = sum(map(len, centres))
    ours = {irrep: np.asarray(p)[:count] for irrep, p in features.items()}
    return ours, featomic_soap.features(frames, symbol, irreps, species, **BASIS, **THE_SAME[cutoff])


def require_equal_kernels(ours: dict, theirs: dict) -> None:
    scale = np.abs(featomic_soap.kernel(theirs[0, 1])).max()
    for irrep in ours:
        one, other = featomic_soap.kernel(ours[irrep]), featomic_soap.kernel(theirs[irrep])
        # Where symmetry makes a kernel vanish it is rounding in both.
        assert_allclose(one, other, rtol=0, atol=1e-8 * max(np.abs(other).max(), 1e-9 * scale), err_msg=str(irrep))


FRAMES = {
    "lto": (lambda: datasets.load("lto-efg")[:1], ("Li", "O", "Ti")),
    "oblique": (lambda: [oblique()], ("O", "Si")),
    "molecule": (lambda: [molecule("CH3CH2OH"), molecule("H2O")], ("C", "H", "O")),
}


@pytest.mark.parametrize("cutoff", ["hard", "smooth"])
@pytest.mark.parametrize("name", FRAMES)
def test_kernels_are_featomics(name, cutoff):
    load, species = FRAMES[name]
    symbols = ("O", "Li") if name == "lto" else ("O",)
    for symbol in symbols:
        require_equal_kernels(*both(load(), symbol, species, cutoff))


@settings(max_examples=8)
@given(structures(max_atoms=4, pbc=(True, True, True)))
def test_kernels_of_random_crystals_are_featomics(atoms):
    for symbol in sorted(set(atoms.symbols)):
        require_equal_kernels(*both([atoms], symbol, SPECIES, "smooth", ((0, 1), (2, 1), (1, -1)), shape="fixed"))


@pytest.mark.parametrize("zeta", [1.0, 2.0, 3.5])
def test_the_whole_kernel_as_tensoap_defines_it(zeta):
    """k^λ = P P'ᵀ/(‖PPᵀ‖ ‖P'P'ᵀ‖)^½ · (k⁰)^(ζ−1), from featomic's features."""
    frames, species = datasets.load("lto-efg")[:1], ("Li", "O", "Ti")
    soap = LambdaSOAP(**BASIS, **HARD, species=species, normalise="environment")
    oxygen = np.flatnonzero(np.array(frames[0].symbols) == "O")
    ours = eqx.filter_jit(soap)(environments(frames, CUTOFF, species, [oxygen]), ((0, 1), (2, 1)))
    ours = {irrep: p[: len(oxygen)] for irrep, p in ours.items()}
    theirs = featomic_soap.features(frames, "O", ((0, 1), (2, 1)), species, **BASIS)
    theirs = {irrep: featomic_soap.normalised(p) for irrep, p in theirs.items()}
    scalar = featomic_soap.kernel(theirs[0, 1])[:, 0, :, 0]
    assert_allclose(np.diag(scalar), 1.0, rtol=1e-12)
    for irrep in theirs:
        invariants = ours[0, 1][:, 0]
        kernel = lambda_soap_kernel(ours[irrep], ours[irrep], invariants, invariants, jnp.asarray(zeta))
        expected = featomic_soap.kernel(theirs[irrep]) * scalar[:, None, :, None] ** (zeta - 1)
        assert_allclose(kernel, expected, rtol=0, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("normalise", ["environment", "invariant"])
def test_normalisations_are_what_they_say(normalise):
    frames, species = [molecule("CH3CH2OH")], ("C", "H", "O")
    soap = LambdaSOAP(**BASIS, **HARD, species=species, normalise=normalise)
    ours = eqx.filter_jit(soap)(environments(frames, CUTOFF, species, pad=False), ((0, 1), (2, 1)))
    gram = np.einsum("iuf,ivf->iuv", ours[0, 1], ours[0, 1])
    assert_allclose(np.linalg.norm(gram, axis=(1, 2)), 1.0, rtol=1e-12)
    theirs = {}
    for symbol in species:
        theirs = featomic_soap.features(frames, symbol, ((0, 1), (2, 1)), species, **BASIS)
        of_symbol = np.array(frames[0].symbols) == symbol
        own = np.linalg.norm(np.einsum("iuf,ivf->iuv", theirs[2, 1], theirs[2, 1]), axis=(1, 2))
        scalar = np.sum(theirs[0, 1] ** 2, axis=(1, 2))
        expected = np.ones_like(own) if normalise == "environment" else own / scalar
        gram = np.einsum("iuf,ivf->iuv", ours[2, 1], ours[2, 1])
        assert_allclose(np.linalg.norm(gram, axis=(1, 2))[of_symbol], expected, rtol=1e-8)
