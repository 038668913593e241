"""Which sites are one site, against a search over all rotations."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.errors import InputError
from efg_jax.spectra import Sites
from efg_jax.tensors.nuclei import isotope


def principal(size, eta):
    return size * np.diag([-(1 - eta) / 2, -(1 + eta) / 2, 1.0])


def turned(tensor, rotation):
    matrix = rotation.as_matrix()
    return matrix @ tensor @ matrix.T


def sites(pairs):
    count = len(pairs)
    efg, shift = (np.array(tensors) for tensors in zip(*pairs, strict=True))
    return Sites(isotope("27Al"), efg, shift, np.ones(count), np.zeros(count, int), np.arange(count))


def nearest(one, other):
    """Larger of the relative norms of both differences, least over rotations: by search, from many starts."""
    scales = [max(np.linalg.norm(one[k] - np.trace(one[k]) / 3 * np.eye(3)), 1e-9) for k in (0, 1)]

    def largest(vector):
        rotation = Rotation.from_rotvec(vector)
        return max(np.linalg.norm(turned(one[k], rotation) - other[k]) / scales[k] for k in (0, 1))

    starts = Rotation.random(20, random_state=1).as_rotvec()
    rough = sorted((minimize(largest, start, method="Nelder-Mead") for start in starts), key=lambda found: found.fun)[0]
    return minimize(largest, rough.x, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-9}).fun


AXIAL, SKEW = Rotation.identity(), Rotation.from_euler("zyz", [0.3, 0.8, 1.1])
CLOSE = {
    # η of the field gradient 0 and 0.012, with a shift that is isotropic, or not.
    "axial": ((principal(5, 0.0), np.zeros((3, 3))), (principal(5, 0.012), np.zeros((3, 3)))),
    "axial beside a shift": ((principal(5, 0.0), principal(40, 0.5)), (principal(5, 0.012), principal(40, 0.5))),
    "axial shift": ((principal(5, 0.7), principal(40, 0.0)), (principal(5, 0.7), principal(40, 0.012))),
    "oblate shift": ((principal(5, 0.7), principal(-40, 0.0)), (principal(5, 0.7), principal(-40, 0.012))),
    # Parallel axes, and axes half a degree apart.
    "angle": (
        (principal(5, 0.7), principal(40, 0.3)),
        (principal(5, 0.7), turned(principal(40, 0.3), Rotation.from_euler("y", 0.008))),
    ),
    "angle of axial tensors": (
        (principal(5, 0.0), principal(40, 0.0)),
        (principal(5, 0.0), turned(principal(40, 0.0), Rotation.from_euler("y", 0.008))),
    ),
    "perpendicular": (
        (principal(5, 0.0), turned(principal(40, 0.0), Rotation.from_euler("y", np.pi / 2))),
        (principal(5, 0.0), turned(principal(40, 0.0), Rotation.from_euler("y", np.pi / 2 + 0.008))),
    ),
    "strength": ((principal(5, 0.7), principal(40, 0.3)), (principal(5.03, 0.7), principal(40, 0.3))),
    "shift": ((principal(5, 0.7), principal(40, 0.3)), (principal(5, 0.7), principal(40, 0.3) + 0.3 * np.eye(3))),
}


@pytest.mark.parametrize("name", CLOSE)
def test_sites_are_one_where_a_rotation_brings_both_tensors_together(name):
    """Linear in every amplitude and angle: all of these differ by 0.3 to 1.5 % of the norm, and by 1e-4 or less in
    invariants such as Tr V³."""
    one, other = CLOSE[name]
    other = tuple(turned(tensor, SKEW) for tensor in other)
    distance = nearest(one, other)
    assert 3e-3 < distance < 2e-2
    found = sites([one, other])
    assert len(ej.spectra.merge(found)) == 2
    assert len(ej.spectra.merge(found, 0.5 * distance)) == 2
    assert len(ej.spectra.merge(found, 2.0 * distance)) == 1


@pytest.mark.parametrize("noise", [0.0, 1e-7])
@pytest.mark.parametrize("axes", [AXIAL, SKEW])
@pytest.mark.parametrize("eta_q", [0.0, 1e-7, 1e-4, 0.4, 1.0])
@pytest.mark.parametrize("eta_cs", [0.0, 1e-5, 0.5])
def test_images_are_one_site(eta_q, eta_cs, axes, noise):
    """Rotated and inverted, whatever is axial or almost so, with rounding."""
    generator = np.random.default_rng(0)
    pair = (principal(5, eta_q), turned(principal(-40, eta_cs), axes) + 7 * np.eye(3))
    images = []
    for rotation in Rotation.random(12, random_state=2):
        errors = generator.normal(size=(2, 3, 3)) * noise
        images.append(tuple(turned(t, rotation) + (e + e.T) * abs(t).max() for t, e in zip(pair, errors, strict=True)))
    merged = ej.spectra.merge(sites(images))
    assert len(merged) == 1
    assert merged.count[0] == 12


@pytest.mark.parametrize("shift", [0.0, 60.0])
def test_isotropic_sites_are_compared_in_ppm(shift):
    plain = [(principal(5, 0.3), (shift + step) * np.eye(3)) for step in (0.0, 2e-5, 0.01)]
    assert len(ej.spectra.merge(sites(plain))) == 2


def test_a_tolerance_is_a_number():
    with pytest.raises(InputError, match="tolerance"):
        ej.spectra.merge(sites([(principal(5, 0.3), np.eye(3))]), -1.0)
