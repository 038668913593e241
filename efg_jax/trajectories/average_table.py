"""The sites of an average as a table."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from efg_jax.tensors.nuclei import Isotope, moments_used
from efg_jax.tensors.quantities import QUANTITIES
from efg_jax.text import digits, with_error
from efg_jax.trajectories.averaged_tensors import AveragedTensor
from efg_jax.trajectories.relaxation import Relaxation
from efg_jax.trajectories.site_averages import SiteAverage

MOST_ROWS = 60
# In the order of the columns; of an EFG in Hz, or in V/Å² for an element without a quadrupolar isotope.
SHOWN = {"efg": ("c_q", "v_zz", "eta", "nu_q", "v_nn"), "ms": ("sigma_iso", "span", "skew")}
SHOWN_PART = 0.005  # of I_z
LINEAR = ("nu_q", "v_nn", "sigma_iso")
# Of the second order: heading, name and divisor; the one for motion faster than ν_L, the other between C_Q and ν_L.
SECOND_ORDER = (
    ("P_Q(⟨V⟩) MHz", "p_q", 1e6),
    ("√⟨P_Q²⟩ MHz", "rms_p_q", 1e6),
    ("δ_QIS(⟨V⟩) ppm", "delta_qis", 1.0),
    ("⟨δ_QIS⟩ ppm", "mean_delta_qis", 1.0),
)
REGIMES = (
    "First order (C_Q, η, ν_Q): that of ⟨V⟩ where motion is faster than C_Q. Second order of the central transition: "
    "P_Q(⟨V⟩){of_mean} where motion is faster than ν_L; √⟨P_Q²⟩{mean} where it is between C_Q and ν_L; motion slower "
    "than C_Q leaves each frame its own pattern."
)
TENSOR = {"efg": "V", "ms": "σ"}


def sites_table(kind: AveragedTensor, sites: Sequence[SiteAverage], title: str, caption: Sequence[str]) -> Table:
    """One row for each site.

    Args:
        kind: what was averaged.
        sites: rows; at most `MOST_ROWS` are shown.
        title: above the table.
        caption: further lines below it.
    """
    names = {name for site in sites for name in site.quantities}
    lines = [_explanation(kind.name), "Standard errors in last digits, from block averages."]
    if "rms_p_q" in names:
        shifts = ("", "") if "delta_qis" not in names else (" and δ_QIS(⟨V⟩)", " and ⟨δ_QIS⟩")
        lines.insert(1, REGIMES.format(of_mean=shifts[0], mean=shifts[1]))
    if any(not estimate.reliable for site in sites for estimate in site.quantities.values()):
        lines.append(
            "*: the trajectory is too short for its correlation time; the error is a lower bound, if there is one."
        )
    lines += [*caption, *filter(None, [moments_used(site.isotope for site in sites)])]
    if len(sites) > MOST_ROWS:
        lines.append(f"{len(sites) - MOST_ROWS} more sites are in the files.")
    table = Table(
        title=title,
        caption="\n".join(lines),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    with_labels = any(site.label is not None for site in sites)
    for heading in ("atom", *(["label"] if with_labels else []), "frames"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "frames" else "left")
    columns = _columns(kind.name, names)
    second = {name for _, name, _ in SECOND_ORDER}
    for heading, name, _ in columns:
        wrong = heading.startswith("⟨") and name not in second
        table.add_column(heading, justify="right", no_wrap=True, style="dim" if wrong else None)
    for site in sites[:MOST_ROWS]:
        nucleus = site.symbol if site.isotope is None else site.isotope.symbol_text
        atom = site.symbol if site.atom is None else f"{site.atom} ({nucleus})"
        cells = [atom, *([site.label or ""] if with_labels else []), str(site.frames)]
        table.add_row(*cells, *(_cell(site, name, divisor) for _, name, divisor in columns))
    return table


def relaxation_lines(found: Mapping[str, Relaxation | str], isotopes: Mapping[str, Isotope | None]) -> list[str]:
    """T₁ of each element with its error, and the reasons to doubt it."""
    return [_relaxation_line(isotopes[symbol], one) for symbol, one in found.items()]


def _columns(target: str, there: set[str]) -> list[tuple[str, str, float]]:
    """Heading, name and divisor of the columns that some site has."""
    found = []
    known = QUANTITIES["efg" if target == "efg" else "shielding"]
    for name in SHOWN[target]:
        one = known[name]
        headings = {name: one.symbol} if name in LINEAR else {name: f"{one.symbol}(⟨{TENSOR[target]}⟩)"}
        headings[f"mean_{name}"] = f"⟨{one.symbol}⟩"
        if f"abs_{name}" in known:
            headings[f"mean_abs_{name}"] = f"⟨{known[f'abs_{name}'].symbol}⟩"
        found += [
            (f"{heading} {one.display_unit}".strip(), column, one.display_factor)
            for column, heading in headings.items()
            if column in there
        ]
    return found + [column for column in SECOND_ORDER if column[1] in there]


def _cell(site: SiteAverage, name: str, divisor: float) -> str:
    if name not in site.quantities:
        return ""
    found = site.quantities[name]
    error = found.error / divisor
    shown = with_error(found.value / divisor, error if error == error else None).replace("-", "−")
    return shown + ("" if found.reliable else "*")


def _explanation(target: str) -> str:
    tensor, quantity = TENSOR[target], {"efg": "C_Q", "ms": "Ω"}[target]
    return (
        f"{quantity}(⟨{tensor}⟩): the tensor is averaged first and diagonalised then, as the nucleus does. "
        f"⟨{quantity}⟩: the mean over frames, for comparison: the wrong order."
    )


def _relaxation_line(nucleus: Isotope, found: Relaxation | str) -> str:
    name = f"T₁ of {nucleus.symbol_text}"
    if isinstance(found, str):
        return f"{name}: none; {found}."
    warning = f"; a guess: {' and '.join(found.doubts)}" if found.doubts else ""
    line = f"{name} = {_time(found.t1, found.error)} ({_regime(found)}; τ = {found.correlation_time * 1e12:.3g} ps)"
    if found.field is not None:
        line += f"; T₂ = {_time(found.t2, found.t2_error)}"
        if found.t2_central == found.t2_central:
            central = _time(found.t2_central, found.t2_central_error)
            line += f", of the central transition apart from the satellites {central}"
    return f"{line}{warning}."


def _regime(found: Relaxation) -> str:
    if found.field is None:
        limit = f"extreme narrowing, which holds below {found.narrow_below:.2g} Hz"
        return limit if found.narrow else f"{limit}: give the field for the rates in higher ones"
    if found.narrow:
        return f"extreme narrowing holds at {found.field:g} T"
    parts = ", ".join(
        f"{100.0 * part:.0f} % with {digits(time)} s" for part, time in found.recovery if part > SHOWN_PART
    )
    return f"at {found.field:g} T, by the initial rate of the recovery; {parts}"


def _time(value: float, error: float) -> str:
    return "∞" if value == float("inf") else f"{with_error(value, error)} s"
