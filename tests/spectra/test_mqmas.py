"""Sheared MQMAS: where the ridges lie and what their projections are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax import InputError
from efg_jax.spectra import Sites
from efg_jax.spectra.mqmas import shear
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2 as HZ
from efg_jax.tensors.nuclei import isotope


# Published shear ratios |k| and shift scales of the sheared axis (Amoureux and Fernandez, Solid State NMR 10 (1998)
# 211, table 1).
@pytest.mark.parametrize(
    ("spin", "quanta", "k", "scale"),
    [
        (1.5, 3, 7 / 9, 34 / 9), (2.5, 3, -19 / 12, 17 / 12), (2.5, 5, 25 / 12, 85 / 12), (3.5, 3, -101 / 45, 34 / 45),
        (3.5, 5, -11 / 9, 34 / 9), (3.5, 7, 161 / 45, 476 / 45), (4.5, 3, -91 / 36, 17 / 36), (4.5, 9, 31 / 6, 85 / 6),
    ],
)  # fmt: skip
def test_shear(spin, quanta, k, scale):
    assert_allclose(shear(spin, quanta), (k, scale), rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "quanta"), [("23Na", 3), ("17O", 3), ("17O", 5), ("45Sc", 3), ("45Sc", 7), ("93Nb", 9)]
)
def test_ridges(tensor, name, quanta):
    """The isotropic axis has a line at δ_iso − (10/17) δ_QIS, whatever spin and quanta.

    The MAS projection is the MAS spectrum.
    """
    nucleus, tesla, c_q, eta = isotope(name), 11.7, 2e6, 0.4
    spin, larmor = nucleus.spin, ej.spectra.larmor_frequency(nucleus, tesla)
    v_zz = c_q / (HZ * nucleus.quadrupole_moment)
    efg = tensor((-0.5 * v_zz * (1 - eta), -0.5 * v_zz * (1 + eta), v_zz), 1)
    shift = tensor((30.0, 55.0, 80.0), 2)
    one = Sites(nucleus, efg[None], shift[None], np.ones(1), np.zeros(1, int), np.zeros(1, int))
    found = ej.spectra.mqmas(one, field=tesla, quanta=quanta, broadening="1 ppm", points=(128, 256), density=30)
    square = (c_q / larmor) ** 2 * (1 + eta**2 / 3)
    induced = -3 / 40 * square * (spin * (spin + 1) - 0.75) / (spin**2 * (2 * spin - 1) ** 2) * 1e6
    projection = found.isotropic_projection
    centre = (found.isotropic * projection).sum() / projection.sum()
    assert_allclose(centre, 55.0 - 10 / 17 * induced, atol=0.05)
    width = np.sqrt((projection * (found.isotropic - centre) ** 2).sum() / projection.sum())
    assert_allclose(width, 1 / np.sqrt(8 * np.log(2)), rtol=0.1)  # no more than the broadening: all anisotropy is gone
    mas = ej.spectra.spectrum(one, field=tesla, spinning=np.inf, broadening="1 ppm", points=4096)
    expected = np.interp(found.mas, mas.ppm, mas.total) * larmor * 1e-6
    assert np.abs(found.mas_projection - expected).sum() < 0.02 * expected.sum()
    assert_allclose(projection.sum() * (found.isotropic[1] - found.isotropic[0]), 1.0, atol=2e-3)


def test_sites_and_pictures_of_two_dimensions(molecule, tmp_path):
    found = ej.spectra.mqmas(molecule, isotope="17O", field=14.1, reference=287.5, points=(64, 128), density=20)
    assert_allclose(found.total, found.per_site.sum(axis=0))
    figure = found.plot()
    plane, top, side = figure.axes[:3]
    assert_allclose(side.lines[-1].get_xdata(), found.isotropic_projection)
    assert_allclose(top.lines[-1].get_ydata(), found.mas_projection)
    assert plane.xaxis_inverted()
    ej.plots.save(figure, tmp_path / "mq.png")
    found.to_csv(tmp_path / "mq.csv")
    rows = [line for line in (tmp_path / "mq.csv").read_text().splitlines() if not line.startswith("#")]
    table = np.array([row.split(",")[1:] for row in rows[1:]], dtype=float)
    assert_allclose(table, found.total, rtol=1e-5, atol=1e-9 * found.total.max())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"isotope": "29Si"}, "spin 1/2"),
        ({"isotope": "17O", "quanta": 7}, "one of 3, 5"),
        ({"isotope": "17O", "quanta": 4}, "one of 3, 5"),
        ({"isotope": "17O", "field": 0.0}, "0 T"),
    ],
)
def test_mqmas_refuses(molecule, options, says):
    with pytest.raises(InputError, match=says):
        ej.spectra.mqmas(molecule, **{"field": 9.4, "shift": 0.0, **options})
