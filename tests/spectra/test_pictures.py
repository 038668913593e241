"""Pictures of spectra say what the spectra are."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax import InputError
from efg_jax.spectra.spectrum_figures import spectrum_figure


@pytest.fixture(scope="module")
def spectra(molecule):
    options = {"isotope": "17O", "field": 14.1, "reference": 287.5, "broadening": "2 ppm"}
    return {
        name: ej.spectra.spectrum(molecule, spinning=rate, **options)
        for name, rate in (("static", 0.0), ("fast", np.inf))
    }


def test_one_spectrum(spectra, tmp_path):
    static = spectra["static"]
    figure = static.plot()
    (ax,) = figure.axes
    total = ax.lines[-1]
    assert_allclose(total.get_xdata(), static.ppm)
    assert_allclose(total.get_ydata(), static.total / static.total.max())
    assert {text.get_text() for text in ax.get_legend().get_texts()} == {"O0", "O1", "total"}
    assert ax.xaxis_inverted()  # shifts run to the left
    assert "14.1 T" in ax.get_title()
    for suffix in ("png", "pdf", "svg"):
        ej.plots.save(figure, tmp_path / f"o.{suffix}")
        assert (tmp_path / f"o.{suffix}").stat().st_size > 1000


def test_stacked_spectra(spectra):
    (ax,) = spectrum_figure(spectra, unit="kHz", sites=False).axes
    assert [text.get_text() for text in ax.texts] == ["fast", "static"]
    assert len(ax.lines) == 2
    low, high = sorted(ax.get_xlim())
    for spectrum in spectra.values():
        visible = spectrum.frequency[spectrum.total > 0.01 * spectrum.total.max()] / 1e3
        assert low < visible.min()
        assert visible.max() < high


def test_sites_of_a_stack_are_named_once(spectra):
    (ax,) = spectrum_figure(spectra).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["O0", "O1", "total"]
    other = spectra["fast"].__class__(**{**vars(spectra["fast"]), "labels": ("O1", "O0")})
    (ax,) = spectrum_figure({"static": spectra["static"], "other sites": other}).axes
    assert ax.get_legend() is None  # one colour would have two names


def test_pictures_refuse(spectra, molecule):
    with pytest.raises(InputError, match="no spectra"):
        spectrum_figure({})
    silicon = ej.spectra.spectrum(molecule, isotope="29Si", field=9.4, reference=330.0)
    with pytest.raises(InputError, match="share no axis"):
        spectrum_figure({"Si": silicon, "O": spectra["fast"]})
