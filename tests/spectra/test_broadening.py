"""Lines of a width: area, shape, ends of the axis; in words."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej


def test_broadening_keeps_area_and_has_its_width():
    axis = np.arange(-500.0, 500.0)
    line = np.zeros(1000)
    line[500] = 1.0
    for shape in ("gaussian", "lorentzian"):
        curve = np.asarray(ej.spectra.broaden(line, 1.0, 40.0, shape))
        above = axis[curve > 0.5 * curve.max()]
        assert_allclose(above.max() - above.min(), 40.0, atol=2.1)
        assert_allclose(curve.sum(), 1.0, atol=0.03)
    for wrong in (-1.0, jnp.asarray(-1.0), float("nan")):
        with pytest.raises(ej.InputError, match="0 or more"):
            ej.spectra.broaden(line, 1.0, wrong, "lorentzian")
    edge = np.zeros(1000)
    edge[2] = 1.0
    assert np.asarray(ej.spectra.broaden(edge, 1.0, 40.0))[-200:].max() < 1e-12  # not round the corner
    kept = np.asarray(ej.spectra.broaden(edge, 1.0, 40.0, "lorentzian")).sum()
    wings = kept - (np.arctan(997.5 / 20.0) + np.arctan(2.5 / 20.0)) / np.pi
    assert 0.0 < wings < 40.0 / (2 * np.pi * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200 Hz", (200.0, "gaussian", "Hz")),
        ("lorentzian 1.5 ppm", (1.5, "lorentzian", "ppm")),
        ("0.2 kHz gauss", (200.0, "gaussian", "Hz")),
        (150, (150.0, "gaussian", "Hz")),
        ("1e2", (100.0, "gaussian", "Hz")),
    ],
)
def test_broadening_in_words(text, expected):
    found = ej.spectra.parse_broadening(text)
    assert (found.fwhm, found.shape, found.unit) == expected
    assert ej.spectra.parse_broadening(str(found)) == found
