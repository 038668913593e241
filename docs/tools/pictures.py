"""The pictures of the page on conventions, drawn with the library's own functions: `python docs/tools/pictures.py`."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from mpl_toolkits.mplot3d import Axes3D
from palette import small

import efg_jax as ej
from efg_jax.plots import BLACK, DIRECT, GREY, RED, SCALAR, TENSOR, Picture, save, style
from efg_jax.tensors import (
    angular_quadrupolar_frequency,
    coupling_constant,
    maryland,
    paper_quadrupolar_frequency,
    polar_angles,
    principal_axes,
    principal_components,
    quadrupolar_frequency,
    rotation_from_euler,
    to_spherical,
)
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT, asymmetry

FOLDER = Path(__file__).parents[1] / "conventions"
# The tensors of the page's examples.
EFG = np.array([[-0.20, 0.05, 0.10], [0.05, 0.35, -0.12], [0.10, -0.12, -0.15]]) * V_PER_ANGSTROM2_PER_ATOMIC_UNIT
SHIELDING = np.array([[30.0, 5.0, -8.0], [2.0, 60.0, 4.0], [-6.0, 7.0, 120.0]])
AXIS_COLOURS = (SCALAR, DIRECT, TENSOR)  # x, y, z


def orders_picture() -> Picture:
    """The principal values on a line, and the names that each convention gives them."""
    figure = Picture(figsize=(7.0, 4.4), layout="constrained")
    top, bottom = figure.subplots(2, 1)
    nqr, haeberlen = (principal_axes(jnp.asarray(EFG), convention).values for convention in ("nqr", "haeberlen"))
    _names(top, nqr, "V_{{{}}}", ("xx", "yy", "zz"), 0.55, "NQR")
    _names(top, haeberlen, "V_{{{}}}", ("xx", "yy", "zz"), -0.75, "Haeberlen")
    _line(top, nqr, 0.0, "EFG (V/Å²)", "0 is the mean: EFGs are traceless")
    shielding = jnp.asarray(SHIELDING)
    values = principal_axes(shielding, "haeberlen").values
    _names(bottom, values, r"\sigma_{{{}}}", ("xx", "yy", "zz"), 0.55, "Haeberlen")
    iupac = principal_components(shielding, sense="shielding")
    _names(bottom, iupac, r"\sigma_{{{}}}", ("11", "22", "33"), -0.75, "IUPAC, Maryland")
    described = maryland(shielding, sense="shielding")
    iso = float(described.iso)
    _line(bottom, values, iso, "shielding (ppm)", r"$\sigma_{iso}$")
    _span(bottom, iso, float(values[2]), 1.25, r"$\zeta$", TENSOR)
    _span(
        bottom, float(iupac[0]), float(iupac[2]), -1.35, rf"$\Omega$, with $\kappa$ = {float(described.skew):.2f}", RED
    )
    return figure


def _line(ax: Axes, values: np.ndarray, mean: float, label: str, note: str) -> None:
    ax.axhline(0.0, color=BLACK, linewidth=0.8)
    ax.plot(np.asarray(values), np.zeros(3), "o", color=BLACK, markersize=7)
    ax.plot([mean, mean], [-0.3, 0.3], color=GREY, linewidth=1.2)
    ax.annotate(note, (mean, 0.0), (4, 5), textcoords="offset points", color=GREY, fontsize=7.5)
    ax.set(ylim=(-1.9, 1.7), yticks=[], xlabel=label)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _names(ax: Axes, values: np.ndarray, symbol: str, names: tuple[str, ...], height: float, convention: str) -> None:
    colour = SCALAR if height > 0 else DIRECT
    for value, name in zip(np.asarray(values), names, strict=True):
        ax.text(value, height, f"${symbol.format(name)}$", ha="center", va="center", color=colour, fontsize=11)
    ax.text(1.01, height, convention, color=colour, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)


def _span(ax: Axes, start: float, stop: float, height: float, text: str, colour: str) -> None:
    ax.annotate("", (stop, height), (start, height), arrowprops={"arrowstyle": "<->", "color": colour})
    ax.text(0.5 * (start + stop), height + 0.08, text, ha="center", va="bottom", color=colour)


def euler_picture() -> Picture:
    """Active ZYZ angles (β and α are the polar angles of z, γ rotates about it), and the four equivalent frames."""
    figure = Picture(figsize=(8.4, 3.2), layout="constrained")
    angles = np.deg2rad([50.0, 45.0, 35.0])
    left, middle, right = (figure.add_subplot(1, 3, column, projection="3d") for column in (1, 2, 3))
    axes = np.asarray(rotation_from_euler(jnp.asarray(angles)))
    before = np.asarray(rotation_from_euler(jnp.asarray([*angles[:2], 0.0])))
    t = np.linspace(0.0, 1.0, 40)
    for ax in (left, middle, right):
        _frame(ax, np.eye(3), ("X", "Y", "Z"), GREY, 1.05)
    _axis(left, axes[:, 2], "z", TENSOR)
    _arc(left, 0.55, angles[1] * t, np.full(40, angles[0]), r"$\beta$", TENSOR, 1.35)
    _arc(left, 0.75, np.full(40, np.pi / 2), angles[0] * t, r"$\alpha$", RED, 1.32)
    shadow = np.array([axes[0, 2], axes[1, 2], 0.0])
    left.plot(*np.stack([np.zeros(3), shadow, axes[:, 2]]).T, color=GREY, linewidth=0.7, linestyle=":")
    _axis(middle, before[:, 0], "x₀", GREY, dashed=True)
    for k in range(3):
        _axis(middle, axes[:, k], "xyz"[k], AXIS_COLOURS[k])
    turn = 0.6 * (np.cos(angles[2] * t)[:, None] * before[:, 0] + np.sin(angles[2] * t)[:, None] * before[:, 1])
    middle.plot(*turn.T, color=SCALAR)
    middle.text(*(1.25 * turn[20]), r"$\gamma$", color=SCALAR)
    for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        for k in range(3):
            _axis(right, signs[k] * axes[:, k], f"{'−' if signs[k] < 0 else ''}{'xyz'[k]}", AXIS_COLOURS[k], away=1.25)
    left.set_title("active α and β turn Z into z", fontsize=9)
    middle.set_title("γ turns x₀ into x about z", fontsize=9)
    right.set_title("four frames, one tensor", fontsize=9)
    return figure


def _frame(ax: Axes3D, axes: np.ndarray, names: tuple[str, ...], colour: str, length: float) -> None:
    for k in range(3):
        _axis(ax, length * axes[:, k], names[k], colour)
    ax.set(xlim=(-0.85, 0.85), ylim=(-0.85, 0.85), zlim=(-0.85, 0.85))
    ax.set_box_aspect((1, 1, 1), zoom=1.0)
    ax.view_init(elev=22, azim=28)
    ax.set_axis_off()


def _axis(ax: Axes3D, end: np.ndarray, name: str, colour: str, dashed: bool = False, away: float = 1.15) -> None:
    ax.plot(*np.stack([np.zeros(3), end]).T, color=colour, linewidth=1.6, linestyle="--" if dashed else "-")
    ax.text(*(away * end), name, color=colour, ha="center", va="center")


def _arc(
    ax: Axes3D, radius: float, polar: np.ndarray, azimuth: np.ndarray, name: str, colour: str, outwards: float = 1.2
) -> None:
    line = radius * np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])
    ax.plot(*line, color=colour)
    ax.text(*(outwards * line[:, 20]), name, color=colour, ha="center", va="center")


def frequency_picture() -> Picture:
    """ν_Q against the azimuth of the field: n·V·n, the form that equals it, and the printed one."""
    figure = Picture(figsize=(6.4, 2.9), layout="constrained")
    ax = figure.subplots()
    values, axes = principal_axes(jnp.asarray(EFG))
    c_q, eta = coupling_constant(values[2], "17O"), asymmetry(values)
    polar, azimuth = np.deg2rad(60.0), np.linspace(0.0, np.pi, 181)
    field = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.full(181, np.cos(polar))])
    field = jnp.asarray((np.asarray(axes) @ field).T)
    many = jnp.broadcast_to(axes, (181, 3, 3))
    theta, phi = polar_angles(many, field)
    arguments = (jnp.full(181, c_q), jnp.full(181, eta), theta, phi, 2.5)
    degrees = np.rad2deg(azimuth)
    exact = quadrupolar_frequency(jnp.broadcast_to(jnp.asarray(EFG), (181, 3, 3)), field, "17O")
    ax.plot(degrees[::6], exact[::6] / 1e3, "o", color=GREY, label="quadrupolar_frequency: n·V·n")
    ax.plot(
        degrees, angular_quadrupolar_frequency(*arguments) / 1e3, color=TENSOR, label="angular_quadrupolar_frequency: +"
    )
    ax.plot(
        degrees,
        paper_quadrupolar_frequency(*arguments) / 1e3,
        "--",
        color=SCALAR,
        label="paper_quadrupolar_frequency: −",
    )
    ax.set(
        xlabel=r"azimuth $\varphi$ of the field from the x axis (°), at $\theta$ = 60°",
        ylabel=r"$\nu_Q$ of ¹⁷O (kHz)",
        xticks=range(0, 181, 45),
    )
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def irreps_picture() -> Picture:
    """The five components of λ = 2 as what they are of the tensor n nᵀ, in the order of the arrays."""
    figure = Picture(figsize=(8.4, 2.3), layout="constrained")
    polar, azimuth = np.meshgrid(np.linspace(0, np.pi, 46), np.linspace(0, 2 * np.pi, 73), indexing="ij")
    n = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    components = np.asarray(to_spherical(jnp.asarray(n[..., :, None] * n[..., None, :]), 2))
    names = (
        r"$\sqrt{2}\,V_{xy}$",
        r"$\sqrt{2}\,V_{yz}$",
        r"$(2V_{zz}-V_{xx}-V_{yy})/\sqrt{6}$",
        r"$\sqrt{2}\,V_{xz}$",
        r"$(V_{xx}-V_{yy})/\sqrt{2}$",
    )
    for k, name in enumerate(names):
        ax = figure.add_subplot(1, 5, k + 1, projection="3d")
        value = components[..., k]
        surface = np.abs(value)[..., None] * n
        colours = np.where((value > 0)[..., None], _rgba(TENSOR), _rgba(SCALAR))
        ax.plot_surface(
            *np.moveaxis(surface, -1, 0), facecolors=colours, rstride=1, cstride=1, linewidth=0, antialiased=False
        )
        for axis, label in zip(np.eye(3), "xyz", strict=True):
            ax.plot(*np.stack([0 * axis, axis]).T, color=GREY, linewidth=0.8)
            ax.text(*(1.1 * axis), label, color=GREY, fontsize=7)
        ax.set(xlim=(-0.7, 0.7), ylim=(-0.7, 0.7), zlim=(-0.7, 0.7))
        ax.set_box_aspect((1, 1, 1), zoom=1.05)
        ax.view_init(elev=24, azim=35)
        ax.set_axis_off()
        ax.set_title(f"$m = {k - 2}$\n{name}", fontsize=8)
    figure.supxlabel(
        r"$V = \mathbf{n}\mathbf{n}^T$: distance from the centre is the component's size along $\mathbf{n}$; "
        "blue positive, orange negative",
        fontsize=8,
    )
    return figure


def _rgba(colour: str) -> np.ndarray:
    return np.array([*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0])


PICTURES = {"orders": orders_picture, "euler": euler_picture, "frequency": frequency_picture, "irreps": irreps_picture}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for stem, draw in PICTURES.items():
        with ej.x64(), style():
            save(draw(), path := FOLDER / f"{stem}.png")
        path.write_bytes(small(path.read_bytes()))
