"""The sites of an average as a table for people, and as rows for programs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from efg_jax.text import SUPERSCRIPT, with_error
from efg_jax.trajectories.relaxation import Relaxation
from efg_jax.trajectories.sites import Estimate, SiteAverage

if TYPE_CHECKING:
    from efg_jax.trajectories.result import TrajectoryAverage

MOST_ROWS = 60
COMPONENTS = [("xx", 0, 0), ("xy", 0, 1), ("xz", 0, 2), ("yx", 1, 0), ("yy", 1, 1), ("yz", 1, 2), ("zx", 2, 0), ("zy", 2, 1), ("zz", 2, 2)]  # fmt: skip

# Column heading, quantity, divisor.
FREQUENCY = [
    ("C_Q(⟨V⟩) MHz", "c_q", 1e6),
    ("⟨C_Q⟩ MHz", "mean_c_q", 1e6),
    ("⟨|C_Q|⟩ MHz", "mean_abs_c_q", 1e6),
    ("η(⟨V⟩)", "eta", 1.0),
    ("⟨η⟩", "mean_eta", 1.0),
    ("ν_Q kHz", "nu_q", 1e3),
]
GRADIENT = [
    ("V_zz(⟨V⟩) V/Å²", "v_zz", 1.0),
    ("⟨V_zz⟩ V/Å²", "mean_v_zz", 1.0),
    ("⟨|V_zz|⟩ V/Å²", "mean_abs_v_zz", 1.0),
    ("η(⟨V⟩)", "eta", 1.0),
    ("⟨η⟩", "mean_eta", 1.0),
    ("n·V·n V/Å²", "v_nn", 1.0),
]
SHIELDING = [
    ("σ_iso ppm", "sigma_iso", 1.0),
    ("Ω(⟨σ⟩) ppm", "span", 1.0),
    ("⟨Ω⟩ ppm", "mean_span", 1.0),
    ("κ(⟨σ⟩)", "skew", 1.0),
    ("⟨κ⟩", "mean_skew", 1.0),
]


def sites_table(average: "TrajectoryAverage") -> Table:
    """One row a site."""
    sites = average.sites
    table = Table(
        title=_title(average),
        caption=_caption(average),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    labelled = any(site.label is not None for site in sites)
    for heading in ("atom", *(["label"] if labelled else []), "frames"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "frames" else "left")
    columns = _columns(sites)
    for heading, *_ in columns:
        wrong = heading.startswith("⟨")
        table.add_column(heading, justify="right", no_wrap=True, style="dim" if wrong else None)
    for site in sites[:MOST_ROWS]:
        atom = site.symbol if site.atom is None else f"{site.atom} ({_nucleus(site)})"
        cells = [atom, *([site.label or ""] if labelled else []), str(site.frames)]
        table.add_row(*cells, *(_cell(site, name, divisor) for _, name, divisor in columns))
    return table


def rows_of_sites(sites: Sequence[SiteAverage]) -> list[dict[str, str | int | float | None]]:
    """Flat rows: what site, its quantities with their errors, its tensor."""
    rows = []
    for site in sites:
        row: dict[str, str | int | float | None] = {
            "atom": site.atom,
            "symbol": site.symbol,
            "label": site.label,
            "isotope": None if site.isotope is None else str(site.isotope),
            "frames": site.frames,
        }
        for name, estimate in site.quantities.items():
            row |= {name: estimate.value, f"{name}_error": estimate.error}
        row |= {f"tensor_{name}": float(site.tensor[i, j]) for name, i, j in COMPONENTS}
        row |= {f"tensor_{name}_error": float(site.tensor_error[i, j]) for name, i, j in COMPONENTS}
        rows.append(row)
    return rows


def _columns(sites: Sequence[SiteAverage]) -> list[tuple[str, str, float]]:
    there = {name for site in sites for name in site.quantities}
    return [column for column in dict.fromkeys([*FREQUENCY, *GRADIENT, *SHIELDING]) if column[1] in there]


def _cell(site: SiteAverage, name: str, divisor: float) -> str:
    found: Estimate | None = site.quantities.get(name)
    if found is None:
        return ""
    error = found.error / divisor
    shown = with_error(found.value / divisor, error if error == error else None).replace("-", "−")
    return shown + ("" if found.reliable else "*")


def _title(average: "TrajectoryAverage") -> str:
    time = "" if average.timestep is None else f" · {average.timestep * average.sums.frames * 1e-3:.4g} ps"
    return f"{average.target} averaged over {average.frames} frames{time}"


def _caption(average: "TrajectoryAverage") -> str:
    what, of_what = ("V", "C_Q") if average.target == "efg" else ("σ", "Ω")
    lines = [
        f"{of_what}(⟨{what}⟩): the tensor is averaged first and diagonalised then, as the nucleus does. ⟨{of_what}⟩: the mean over frames, for comparison: the wrong order."
    ]
    lines.append("Standard errors in last digits, from block averages.")
    if any(not estimate.reliable for site in average.sites for estimate in site.quantities.values()):
        lines.append(
            "*: the trajectory is too short for its correlation time; the error, if there is one, is a lower bound."
        )
    lines += [_relaxation_line(average, symbol, found) for symbol, found in average.relaxations().items()]
    if len(average.sites) > MOST_ROWS:
        lines.append(f"{len(average.sites) - MOST_ROWS} more sites are in the files.")
    return "\n".join(lines)


def _relaxation_line(average: "TrajectoryAverage", symbol: str, found: Relaxation | str) -> str:
    """T₁ with its error, and what speaks against it."""
    nucleus = average.isotopes[symbol]
    name = f"T₁ of {str(nucleus.mass_number).translate(SUPERSCRIPT)}{symbol}"
    if isinstance(found, str):
        return f"{name}: none; {found}."
    doubts = [
        *([] if found.resolved else ["the frames are too far apart in time"]),
        *([] if found.converged else ["the trajectory is too short"]),
    ]
    value = "∞" if found.t1 == float("inf") else f"{with_error(found.t1, found.error)} s"
    warning = f"; a guess: {' and '.join(doubts)}" if doubts else ""
    return f"{name} = {value} (extreme narrowing: far below {found.highest_frequency:.2g} Hz; τ = {found.correlation_time * 1e12:.3g} ps){warning}."


def _nucleus(site: SiteAverage) -> str:
    if site.isotope is None:
        return site.symbol
    return f"{str(site.isotope.mass_number).translate(SUPERSCRIPT)}{site.isotope.symbol}"
