"""Pictures of spectra: stacked, with the contributions of the sites, and two-dimensional MQMAS with its projections."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from efg_jax.errors import InputError
from efg_jax.plots.canvas import BLACK, GREY, PANEL, SERIES, TENSOR, Picture, nucleus_name, style
from efg_jax.spectra.spectrum_result import Spectrum, Spectrum2D, require_sites

MOST_SITES = 12  # contributions that are drawn and named one by one
VISIBLE = 1e-3  # of the highest point: what lies outside of it is not shown
STEP = 1.3  # from one spectrum of a stack to the next, in heights
SHARPEST = 40  # points on either side of what is not zero
LEVELS = 12
FACTOR = 1.4  # from one contour to the next

Unit = Literal["ppm", "Hz", "kHz", "MHz"]


def spectrum_figure(
    spectra: Spectrum | Mapping[str, Spectrum],
    *,
    sites: bool = True,
    unit: Unit = "ppm",
    limits: tuple[float, float] | None = None,
    title: str = "",
) -> Figure:
    """Spectra stacked one above the other, each scaled to its highest point, with the contributions of its sites below
    its total.

    Args:
        spectra: one, or several of one nucleus by their names.
        sites: draw the contributions, where a spectrum has them: up to 12 in colours, with names where they are the
            same in all spectra; more as grey lines.
        unit: of the axis, "ppm", "Hz", "kHz" or "MHz"; the shift runs from right to left, as spectroscopists draw it.
        limits: of the axis in its unit, in either order; without them what is higher than 0.1 % of the highest point.
        title: heading; without it that of the spectrum (nucleus and conditions).

    Raises:
        InputError: no spectra, of several nuclei, or an unknown unit.
    """
    named = {"": spectra} if isinstance(spectra, Spectrum) else dict(spectra)
    if not named:
        raise InputError("there are no spectra to draw; pass at least one")
    nuclei = {spectrum.isotope.name for spectrum in named.values()}
    if len(nuclei) > 1:
        raise InputError(f"spectra of {' and '.join(sorted(nuclei))} share no axis; draw one nucleus at a time")
    axes = {name: _axis(spectrum, unit) for name, spectrum in named.items()}
    with style():
        size = (1.9 * PANEL, 0.75 + (1.15 if len(named) > 1 else 1.9) * len(named))
        figure = Picture(figsize=size, layout="constrained")
        ax = figure.subplots()
        legend = _with_names(named)
        for height, (name, spectrum) in enumerate(reversed(named.items())):
            _draw(ax, axes[name], spectrum, STEP * height, sites, name == legend)
            if name:
                # Above the highest point, where no curve is.
                ax.text(0.01, STEP * height + 1.02, name, transform=ax.get_yaxis_transform(), fontsize=8, va="bottom")
        if len(ax.get_legend_handles_labels()[0]) > 1:
            place = {"loc": "best"} if len(named) == 1 else {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
            ax.legend(fontsize=7, handlelength=1.4, **place)
        low, high = limits or _visible(named, axes)
        ax.set_xlim(max(low, high), min(low, high))
        ax.set_ylim(-0.06, STEP * len(named) - 0.1)
        ax.yaxis.set_visible(False)
        ax.spines[["left", "right", "top"]].set_visible(False)
        first = next(iter(named.values()))
        ax.set_xlabel(f"{nucleus_name(first.isotope)} {'shift' if unit == 'ppm' else 'frequency'} ({unit})")
        ax.set_title(title or _conditions(named), fontsize=9)
    return figure


def mqmas_figure(
    spectrum: Spectrum2D,
    *,
    sites: bool = True,
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None,
    title: str = "",
) -> Figure:
    """Contours of a sheared MQMAS spectrum with its projections, those of the sites in colours, and the line along
    which shifts alone move a site.

    Args:
        spectrum: two-dimensional spectrum.
        sites: draw the contributions of up to 12 sites in colours, where the spectrum has them.
        limits: of the MAS axis and of the isotropic axis, ppm; without them what is higher than 0.1 % of the highest
            point.
        title: heading.
    """
    coloured = sites and spectrum.per_site is not None and len(spectrum.per_site) <= MOST_SITES
    with style():
        figure = Picture(figsize=(2.0 * PANEL, 2.0 * PANEL), layout="constrained")
        grid = figure.add_gridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4), wspace=0.0, hspace=0.0)
        ax = figure.add_subplot(grid[1, 0])
        top, side = figure.add_subplot(grid[0, 0], sharex=ax), figure.add_subplot(grid[1, 1], sharey=ax)
        _contours(ax, spectrum, coloured)
        _projections(top, side, spectrum, coloured)
        if coloured:
            corner = figure.add_subplot(grid[0, 1])
            corner.axis("off")
            corner.legend(*ax.get_legend_handles_labels(), loc="center", fontsize=7, handlelength=1.2)
        x, y = limits or _visible_plane(spectrum)
        ax.set_xlim(max(x), min(x))
        ax.set_ylim(max(y), min(y))  # the isotropic axis runs down, as the MAS axis runs to the left
        ends = np.array([min(*x, *y), max(*x, *y)])
        ax.plot(ends, ends, color=GREY, linewidth=0.7, linestyle="--", zorder=0)
        ax.set_xlabel(f"{nucleus_name(spectrum.isotope)} MAS (ppm)")
        ax.set_ylabel(f"{spectrum.quanta}QMAS, isotropic (ppm)")
        field = spectrum.metadata.get("field_t")
        where = f" · {field:g} T" if field is not None else ""
        figure.suptitle(title or f"{nucleus_name(spectrum.isotope)} {spectrum.quanta}QMAS{where}", fontsize=9)
    return figure


def _with_names(named: Mapping[str, Spectrum]) -> str | None:
    """The uppermost spectrum with contributions, whose legend serves all; None where the spectra differ in sites."""
    divided = {name: spectrum.labels for name, spectrum in named.items() if spectrum.per_site is not None}
    return next(iter(divided)) if len(set(divided.values())) == 1 else None


def _draw(ax: Axes, axis: np.ndarray, spectrum: Spectrum, height: float, sites: bool, legend: bool) -> None:
    scale = 1.0 / spectrum.total.max()
    if sites and spectrum.per_site is not None and len(spectrum.per_site) > 1:
        few = len(spectrum.per_site) <= MOST_SITES
        for number, (curve, label) in enumerate(zip(spectrum.per_site, spectrum.labels, strict=True)):
            colour = SERIES[number % len(SERIES)] if few else GREY
            line = "-" if number < len(SERIES) or not few else "--"
            curve = np.where(curve > VISIBLE * spectrum.total.max(), curve, np.nan)  # the base line is the total's
            text = label if few and legend else None
            # Above the total, whose wider line shows on both sides where a site is all there is.
            width, order = (0.8, 3) if few else (0.4, 1)
            ax.plot(axis, height + scale * curve, line, color=colour, linewidth=width, label=text, zorder=order)
            if few and number < len(SERIES):
                ax.fill_between(axis, height, height + scale * curve, color=colour, alpha=0.12, linewidth=0)
    label = "total" if legend else None
    width = 1.6 if sites and spectrum.per_site is not None else 1.1
    ax.plot(axis, height + scale * spectrum.total, color=BLACK, linewidth=width, label=label, zorder=2)


def _axis(spectrum: Spectrum, unit: str) -> np.ndarray:
    factors = {"Hz": 1.0, "kHz": 1e-3, "MHz": 1e-6}
    if unit == "ppm":
        return spectrum.ppm
    if unit not in factors:
        raise InputError(f"unit {unit!r} of the axis is unknown; choose one of ppm, Hz, kHz, MHz")
    return factors[unit] * spectrum.frequency


def _visible(named: Mapping[str, Spectrum], axes: Mapping[str, np.ndarray]) -> tuple[float, float]:
    """The range in which any of the spectra is higher than nothing, and a little more."""
    ends, resolution = [], 0.0
    for name, spectrum in named.items():
        resolution = max(resolution, float(np.abs(np.diff(axes[name])).max()))
        high = axes[name][spectrum.total > VISIBLE * spectrum.total.max()]
        ends += [high.min(), high.max()]
    margin = max(0.04 * (max(ends) - min(ends)), SHARPEST * resolution)  # a line of one point is seen to be one
    return min(ends) - margin, max(ends) + margin


def _visible_plane(spectrum: Spectrum2D) -> tuple[tuple[float, float], tuple[float, float]]:
    ends = []
    for axis, curve in ((spectrum.mas, spectrum.mas_projection), (spectrum.isotropic, spectrum.isotropic_projection)):
        high = axis[curve > VISIBLE * curve.max()]
        margin = 0.06 * (high.max() - high.min())
        ends.append((float(high.min() - margin), float(high.max() + margin)))
    return ends[0], ends[1]


def _contours(ax: Axes, spectrum: Spectrum2D, coloured: bool) -> None:
    if coloured:
        require_sites(spectrum)
        parts = list(zip(spectrum.per_site, SERIES * MOST_SITES, spectrum.labels, strict=False))
    else:
        parts = [(spectrum.total, TENSOR, "")]
    highest = spectrum.total.max()
    for plane, colour, label in parts:
        levels = highest * FACTOR ** np.arange(-LEVELS, 0)
        if plane.max() <= levels[0]:
            levels = plane.max() * FACTOR ** np.arange(-LEVELS, 0)
        shades = LinearSegmentedColormap.from_list("site", [colour, colour])
        ax.contour(spectrum.mas, spectrum.isotropic, plane, levels=levels, cmap=shades, linewidths=0.6)
        ax.plot([], [], color=colour, label=label or None)


def _projections(top: Axes, side: Axes, spectrum: Spectrum2D, coloured: bool) -> None:
    steps = spectrum.isotropic[1] - spectrum.isotropic[0], spectrum.mas[1] - spectrum.mas[0]
    if coloured:
        for plane, colour in zip(spectrum.per_site, SERIES * MOST_SITES, strict=False):
            top.plot(spectrum.mas, plane.sum(axis=0) * steps[0], color=colour, linewidth=0.8, zorder=3)
            side.plot(plane.sum(axis=1) * steps[1], spectrum.isotropic, color=colour, linewidth=0.8, zorder=3)
    top.plot(spectrum.mas, spectrum.mas_projection, color=BLACK, linewidth=1.6)
    side.plot(spectrum.isotropic_projection, spectrum.isotropic, color=BLACK, linewidth=1.6)
    for ax in (top, side):
        ax.axis("off")


def _conditions(named: Mapping[str, Spectrum]) -> str:
    """Nucleus, and what is the same for all spectra."""
    first = next(iter(named.values()))
    parts = [nucleus_name(first.isotope)]
    same = {
        key: first.metadata.get(key)
        for key in ("field_t", "spinning_hz", "transitions")
        if len({str(spectrum.metadata.get(key)) for spectrum in named.values()}) == 1
    }
    if same.get("field_t") is not None:
        parts.append(f"{same['field_t']:g} T")
    rate = same.get("spinning_hz")
    if rate is not None:
        parts.append(_spinning(float(rate)))
    if same.get("transitions") is not None and first.isotope.spin > 0.5:
        parts.append({"central": "central transition", "all": "all transitions"}[same["transitions"]])
    return " · ".join(parts)


def _spinning(rate: float) -> str:
    if rate == 0.0:
        return "static"
    return "MAS, infinite rate" if np.isinf(rate) else f"MAS {rate / 1e3:g} kHz"
