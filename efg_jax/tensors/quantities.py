"""The quantities that NMR measures of a tensor: one registry of names, formulas, units, symbols and kinks.

`QUANTITIES` has three parts: "efg" (of a field gradient, V/Å²), "shielding" and "shift" (of a shielding, ppm, read
either way), and "relative" (of both tensors of one site). Tables, sensitivities, trajectories, spectra and reports ask
it. To add a quantity, add one line: its gradient comes from JAX.

    c_q = QUANTITIES["efg"]["c_q"]
    (values,) = evaluate([c_q], Context(Nuclei.of([isotope("17O")] * len(tensors))), efg=tensors)

A quantity that is a ratio of rounding errors, as κ of a cubic site, is 0; `evaluate_flagged` says where. All functions
are pure; leading axes are a batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from efg_jax.errors import InputError
from efg_jax.tensors.efg import (
    asymmetry,
    asymmetry_squared,
    coupling_constant,
    field_component,
    frequency_of_component,
    invariant_strength,
    quadrupolar_product,
)
from efg_jax.tensors.euler import settled_angles, settled_axes, settled_relative_angles
from efg_jax.tensors.nuclei import Nuclei
from efg_jax.tensors.orientation import polar_angles
from efg_jax.tensors.principal import (
    CONTRIBUTIONS,
    Degeneracy,
    PrincipalAxes,
    degeneracy,
    identity_like,
    principal_axes,
    rounding,
)
from efg_jax.tensors.shielding import Decomposed, decompose_shielding, isotropic, shift_tensor

# Units of tables: the unit of the values, and how many of these one is.
DISPLAY_UNITS = {"MHz": ("Hz", 1e6), "kHz": ("Hz", 1e3), "°": ("rad", np.pi / 180.0)}
SWAPPED = np.array([1, 0, 2])  # NQR order and Haeberlen order of a traceless tensor differ in x and y


class Context(eqx.Module):
    """What quantities need besides the tensors; leaves are one for all tensors, or one for each.

    Attributes:
        nuclei: spins and quadrupole moments, for frequencies.
        reference: shielding σ_ref of the reference compound, ppm, for shifts.
        direction: of the magnetic field; its length does not matter.
        axes: order of the EFG's axes for its Euler angles, "nqr" or "haeberlen".
        passive: whether Euler angles are passive.
    """

    nuclei: Nuclei | None = None
    reference: Float[Array | np.ndarray, "*atoms"] | float | None = None
    direction: Float[Array | np.ndarray, "*atoms 3"] | None = None
    axes: str = eqx.field(static=True, default="nqr")
    passive: bool = eqx.field(static=True, default=False)


class View:
    """Tensors and their decompositions; each is computed once, however many quantities use it.

    Args:
        context: nuclei, reference, field.
        efg: EFG tensors, V/Å².
        ms: shielding tensors, ppm.
        shift: shift tensors, ppm; None: those of `ms` against the reference.
    """

    def __init__(
        self,
        context: Context,
        efg: Float[Array, "*atoms 3 3"] | None = None,
        ms: Float[Array, "*atoms 3 3"] | None = None,
        shift: Float[Array, "*atoms 3 3"] | None = None,
    ):
        self.context, self.efg, self.ms, self._shift = context, efg, ms, shift

    @cached_property
    def efg_rounding(self) -> Float[Array, "*atoms"]:
        """Differences of principal values of the EFG up to this are rounding, V/Å²."""
        return rounding(self.efg, CONTRIBUTIONS)

    @cached_property
    def efg_shape(self) -> Degeneracy:
        """Whether the EFG is zero or axial to rounding."""
        return degeneracy(self._principal.values, self.efg_rounding)

    @cached_property
    def _principal(self) -> PrincipalAxes:
        return principal_axes(self.efg)

    @cached_property
    def principal(self) -> PrincipalAxes:
        """Principal values and axes of the EFG in NQR order; rounding does not choose the axes (`settled_axes`)."""
        values, axes = self._principal
        return PrincipalAxes(values, settled_axes(axes, self.efg_shape))

    @cached_property
    def eta(self) -> Float[Array, "*atoms"]:
        """Asymmetry of the EFG."""
        return asymmetry(self.principal.values, self.efg_rounding)

    @cached_property
    def efg_axes(self) -> Float[Array, "*atoms 3 3"]:
        """Axes of the EFG in the order of the context, with any signs."""
        axes = self.principal.axes
        return axes if self.context.axes == "nqr" else axes[..., SWAPPED]

    @cached_property
    def polar(self) -> tuple[Float[Array, "*atoms"], Float[Array, "*atoms"]]:
        """θ and φ of the field in the axes of the EFG; 0 where they have no meaning."""
        theta, phi = polar_angles(self.principal.axes, self.context.direction)
        shape = self.efg_shape
        return jnp.where(shape.isotropic, 0.0, theta), jnp.where(shape.isotropic | shape.axial, 0.0, phi)

    @cached_property
    def shielding(self) -> Decomposed:
        """The shielding as mean and principal axes."""
        return decompose_shielding(self.ms, CONTRIBUTIONS)

    @cached_property
    def shift_tensor(self) -> Float[Array, "*atoms 3 3"]:
        """The chemical shift tensor."""
        return shift_tensor(self.ms, self.context.reference) if self._shift is None else self._shift

    @cached_property
    def shift(self) -> Decomposed:
        """The shift as mean and principal axes."""
        own = decompose_shielding(self.shift_tensor, CONTRIBUTIONS)
        # What is rounding of a shift is rounding of the shielding that it was made from.
        return own if self._shift is not None else own._replace(rounding=jnp.maximum(own.rounding, rounding(self.ms)))

    @cached_property
    def efg_angles(self) -> tuple[Float[Array, "*atoms 3"], Bool[Array, "*atoms 3"]]:
        """Euler angles of the EFG, and which are undefined."""
        return settled_angles(self.efg_axes, self.efg_shape, passive=self.context.passive)

    @cached_property
    def shielding_angles(self) -> tuple[Float[Array, "*atoms 3"], Bool[Array, "*atoms 3"]]:
        """Euler angles of the shielding, and which are undefined."""
        return settled_angles(self.shielding.axes, self.shielding.degeneracy, passive=self.context.passive)

    @cached_property
    def shift_angles(self) -> tuple[Float[Array, "*atoms 3"], Bool[Array, "*atoms 3"]]:
        """Euler angles of the shift, whose axes are those of the shielding, and which are undefined."""
        return settled_angles(self.shift.axes, self.shift.degeneracy, passive=self.context.passive)

    @cached_property
    def relative_angles(self) -> tuple[Float[Array, "*atoms 3"], Bool[Array, "*atoms 3"]]:
        """Euler angles of the shielding's axes in those of the EFG, and which are undefined."""
        shapes = (self.efg_shape, self.shielding.degeneracy)
        return settled_relative_angles(self.efg_axes, self.shielding.axes, shapes, passive=self.context.passive)


class Kink(NamedTuple):
    """A place where quantities have no derivative.

    Attributes:
        distance: a function of a `View` that falls to zero there, and has a derivative up to it.
        here: what is true there, in words.
        near: what happens there, in words.
        instead: name of a quantity that is smooth there; empty where there is none.
    """

    distance: Callable[[View], Float[Array, "*atoms"]]
    here: str
    near: str
    instead: str = ""


@dataclass(frozen=True, eq=False)
class Quantity:
    """A number of a tensor.

    Attributes:
        name: in Python and in files.
        tensor: "efg" or "ms", of which it is; "both".
        symbol: as text.
        mathtext: as mathtext, without dollars.
        what: in words.
        function: its formula.
        unit: of the values.
        display: unit for tables and figures, where it is another one.
        decimals: digits after the point in tables, in that unit.
        bounds: smallest and largest possible value.
        needs: attributes of `Context` that it cannot do without.
        kinks: where it has no derivative.
        undefined: where it is a ratio of rounding errors, or an angle of axes without a meaning; its value is 0 there.
            None: nowhere.
    """

    name: str
    tensor: str
    symbol: str
    mathtext: str
    what: str
    function: Callable[[View], Float[Array, "*atoms"]]
    unit: str = ""
    display: str = ""
    decimals: int = 4
    bounds: tuple[float | None, float | None] = (None, None)
    needs: tuple[str, ...] = ()
    kinks: tuple[Kink, ...] = ()
    undefined: Callable[[View], Bool[Array, "*atoms"]] | None = None

    @property
    def display_unit(self) -> str:
        """Unit for tables and figures."""
        return self.display or self.unit

    @property
    def display_factor(self) -> float:
        """Size of the display unit in units of the values: divide by it."""
        return DISPLAY_UNITS[self.display][1] if self.display else 1.0

    def described(self) -> dict[str, str]:
        """Symbol, unit and meaning."""
        return {"symbol": self.symbol, "unit": self.unit, "what": self.what}


def _zero(v: View) -> Bool[Array, "*atoms"]:
    return v.efg_shape.isotropic


ZERO = Kink(lambda v: jnp.where(_zero(v), 0.0, invariant_strength(v.efg)), "the EFG is zero here", "the EFG vanishes")
EXCHANGE = Kink(
    lambda v: 1.0 - v.eta,
    "η is 1 here, and V_zz and V_yy change places",
    "V_zz and V_yy change places at η = 1, where V_zz jumps to the other sign",
    "p_q",
)
AXIAL = Kink(
    lambda v: v.eta,
    "η is 0 here, and V_xx and V_yy change places",
    "η has a kink at 0, where V_xx and V_yy change places",
    "eta_squared",
)
ANGLES = (("alpha", "α", r"\alpha"), ("beta", "β", r"\beta"), ("gamma", "γ", r"\gamma"))


def _angles(
    tensor: str,
    label: str,
    of_what: str,
    angles: Callable[[View], tuple[Float[Array, "*atoms 3"], Bool[Array, "*atoms 3"]]],
) -> list[Quantity]:
    """Three Euler angles."""

    def one(k: int, part: int) -> Callable[[View], Any]:
        return lambda v: angles(v)[part][..., k]

    return [
        Quantity(
            name, tensor, f"{symbol}_{label}", rf"{latex}_\mathrm{{{label}}}", f"ZYZ Euler angle {symbol} of {of_what}",
            one(k, 0), "rad", "°", 2, undefined=one(k, 1),
        )
        for k, (name, symbol, latex) in enumerate(ANGLES)
    ]  # fmt: skip


def _of_efg() -> list[Quantity]:
    v, hertz = r"\mathbf{n}\cdot\mathbf{V}\cdot\mathbf{n}", ("nuclei",)
    size, shape = (ZERO, EXCHANGE), (ZERO, EXCHANGE, AXIAL)
    largest = "principal component of the field gradient that is largest in magnitude"
    coupling = "quadrupolar coupling constant eQV_zz/h, with its sign"
    return [
        Quantity(
            "c_q", "efg", "C_Q", "C_Q", coupling,
            lambda v: coupling_constant(v.principal.zz, v.context.nuclei), "Hz", "MHz", needs=hertz, kinks=size,
        ),
        Quantity(
            "p_q", "efg", "P_Q", "P_Q", "quadrupolar product C_Q √(1 + η²/3), with the sign of C_Q",
            lambda v: quadrupolar_product(v.principal.zz, v.eta, v.context.nuclei), "Hz", "MHz", needs=hertz,
            kinks=(ZERO,),
        ),
        Quantity(
            "strength_squared", "efg", "⅔ Tr V²", r"\frac{2}{3}\,\mathrm{Tr}\,V^2",
            "square V_zz²(1 + η²/3) of the strength of the field gradient, of which P_Q² is (eQ/h)² times",
            lambda v: (2.0 / 3.0) * jnp.sum(v.efg * v.efg, axis=(-2, -1)), "(V/Å²)²", decimals=1, bounds=(0.0, None),
        ),
        Quantity("v_zz", "efg", "V_zz", "V_{zz}", largest, lambda v: v.principal.zz, "V/Å²", decimals=3, kinks=size),
        Quantity(
            "eta", "efg", "η", r"\eta", "asymmetry of the field gradient, (V_xx − V_yy)/V_zz", lambda v: v.eta,
            bounds=(0.0, 1.0), kinks=shape, undefined=_zero,
        ),
        Quantity(
            "eta_squared", "efg", "η²", r"\eta^2", "square of the asymmetry, smooth at η = 0",
            lambda v: asymmetry_squared(v.efg, v.efg_rounding), bounds=(0.0, 1.0), kinks=size, undefined=_zero,
        ),
        Quantity(
            "abs_v_zz", "efg", "|V_zz|", "|V_{zz}|", f"magnitude of the {largest}",
            lambda v: jnp.abs(v.principal.zz), "V/Å²", decimals=3, bounds=(0.0, None), kinks=size,
        ),
        Quantity(
            "abs_c_q", "efg", "|C_Q|", "|C_Q|", "magnitude of the quadrupolar coupling constant",
            lambda v: jnp.abs(coupling_constant(v.principal.zz, v.context.nuclei)), "Hz", "MHz", bounds=(0.0, None),
            needs=hertz, kinks=size,
        ),
        Quantity(
            "v_nn", "efg", "n·V·n", v, "component of the field gradient along the magnetic field",
            lambda v: field_component(v.efg, v.context.direction), "V/Å²", decimals=3, needs=("direction",),
        ),
        Quantity(
            "nu_q", "efg", "ν_Q", r"\nu_Q", "first-order quadrupolar frequency 3eQ/(2I(2I − 1)h) n·V·n",
            lambda v: frequency_of_component(field_component(v.efg, v.context.direction), v.context.nuclei),
            "Hz", "kHz", 2, needs=("nuclei", "direction"),
        ),
        Quantity(
            "splitting", "efg", "ν_Q", r"\nu_Q",
            "first-order quadrupolar splitting 3C_Q/(2I(2I − 1)) for a field along the z axis",
            lambda v: frequency_of_component(v.principal.zz, v.context.nuclei), "Hz", "kHz", 2, needs=hertz, kinks=size,
        ),
        Quantity(
            "theta", "efg", "θ", r"\theta", "angle between the magnetic field and the z axis of the field gradient",
            lambda v: v.polar[0], "rad", bounds=(0.0, np.pi / 2), needs=("direction",), undefined=_zero,
        ),
        Quantity(
            "phi", "efg", "φ", r"\varphi", "azimuth of the magnetic field about the z axis of the field gradient",
            lambda v: v.polar[1], "rad", bounds=(0.0, np.pi / 2), needs=("direction",),
            undefined=lambda v: v.efg_shape.isotropic | v.efg_shape.axial,
        ),
        *_angles("efg", "efg", "the field gradient's principal axes in the crystal", lambda v: v.efg_angles),
    ]  # fmt: skip


def _of_shielding(sense: str) -> list[Quantity]:
    """The same conventions for shieldings and for shifts, whose symbols and signs differ."""
    s, latex, part = {"shielding": ("σ", r"\sigma", "sigma"), "shift": ("δ", r"\delta", "delta")}[sense]
    needs = () if sense == "shielding" else ("reference",)

    def at(v: View) -> Decomposed:
        return v.shielding if sense == "shielding" else v.shift

    def tensor(v: View) -> Float[Array, "*atoms 3 3"]:
        return v.ms if sense == "shielding" else v.shift_tensor

    def gap(v: View) -> Float[Array, "*atoms"]:
        return jnp.min(jnp.diff(at(v).ascending, axis=-1), axis=-1)

    def principal(k: int) -> Quantity:
        return Quantity(
            f"{part}_{k}{k}", "ms", f"{s}_{k}{k}", f"{latex}_{{{k}{k}}}",
            f"principal component {k}{k} of the {sense}, in order of frequency",
            lambda v: at(v).components(sense)[..., k - 1], "ppm", decimals=3, needs=needs, kinks=(coincide,),
        )  # fmt: skip

    def unresolved(v: View) -> Bool[Array, "*atoms"]:
        return at(v).degeneracy.isotropic

    isotropic_site = Kink(
        lambda v: jnp.where(unresolved(v), 0.0, at(v).maryland(sense).span),
        f"the {sense} is isotropic here",
        "the anisotropy vanishes",
    )
    coincide = Kink(gap, "two principal values coincide here", "two principal values coincide, and Ω and κ have a kink")
    exchange = Kink(
        lambda v: 1.0 - at(v).haeberlen.eta,
        f"η is 1 here, and {s}_zz and {s}_xx change places",
        f"{s}_zz and {s}_xx change places at η = 1, where Δ jumps to the other sign",
    )
    axial = Kink(
        lambda v: at(v).haeberlen.eta,
        f"η is 0 here, and {s}_xx and {s}_yy change places",
        f"η has a kink at 0, where {s}_xx and {s}_yy change places",
    )
    return [
        Quantity(
            f"{part}_iso", "ms", f"{s}_iso", rf"{latex}_\mathrm{{iso}}", f"isotropic {sense}",
            lambda v: isotropic(tensor(v)), "ppm", decimals=3, needs=needs,
        ),
        Quantity(
            "anisotropy", "ms", "Δ", r"\Delta", f"anisotropy {s}_zz − ({s}_xx + {s}_yy)/2 of the {sense}, 3ζ/2",
            lambda v: at(v).haeberlen.anisotropy, "ppm", decimals=3, needs=needs, kinks=(isotropic_site, exchange),
        ),
        Quantity(
            "zeta", "ms", "ζ", r"\zeta", f"reduced anisotropy {s}_zz − {s}_iso of the {sense}",
            lambda v: at(v).haeberlen.zeta, "ppm", decimals=3, needs=needs, kinks=(isotropic_site, exchange),
        ),
        Quantity(
            "eta", "ms", "η", r"\eta", f"asymmetry ({s}_yy − {s}_xx)/ζ of the {sense}", lambda v: at(v).haeberlen.eta,
            bounds=(0.0, 1.0), needs=needs, kinks=(isotropic_site, exchange, axial), undefined=unresolved,
        ),
        Quantity(
            "span", "ms", "Ω", r"\Omega", "span, σ_33 − σ_11 = δ_11 − δ_33", lambda v: at(v).maryland(sense).span,
            "ppm", decimals=3, bounds=(0.0, None), needs=needs, kinks=(isotropic_site, coincide),
        ),
        Quantity(
            "skew", "ms", "κ", r"\kappa", "skew, 3(σ_iso − σ_22)/Ω = 3(δ_22 − δ_iso)/Ω",
            lambda v: at(v).maryland(sense).skew, bounds=(-1.0, 1.0), needs=needs, kinks=(isotropic_site, coincide),
            undefined=unresolved,
        ),
        *(principal(k) for k in (1, 2, 3)),
        *_angles(
            "ms", "cs", f"the {sense}'s principal axes in the crystal",
            lambda v: v.shielding_angles if sense == "shielding" else v.shift_angles,
        ),
    ]  # fmt: skip


def _by_name(quantities: Sequence[Quantity]) -> dict[str, Quantity]:
    return {quantity.name: quantity for quantity in quantities}


QUANTITIES: dict[str, dict[str, Quantity]] = {
    "efg": _by_name(_of_efg()),
    "shielding": _by_name(_of_shielding("shielding")),
    "shift": _by_name(_of_shielding("shift")),
    "relative": _by_name(
        _angles(
            "both", "rel", "the shielding's principal axes in those of the field gradient", lambda v: v.relative_angles
        )
    ),
}
"""Every quantity by what it is of and by its name."""


def require(quantity: Quantity, context: Context) -> None:
    """Check that the context has what a quantity needs.

    Raises:
        InputError: it lacks a nucleus, a direction or a reference.
    """
    if "nuclei" in quantity.needs and context.nuclei is None:
        raise InputError(f"{quantity.symbol} needs a quadrupolar isotope; pass isotope=, or take quantity='v_zz'")
    if "direction" in quantity.needs and context.direction is None:
        raise InputError(f"{quantity.symbol} needs the direction of the field; pass direction=(0, 0, 1), or another")
    if "reference" in quantity.needs and (context.reference is None or not np.isfinite(context.reference).all()):
        raise InputError(
            "a chemical shift needs the shielding of a reference compound; pass reference=..., a number in ppm"
        )


def evaluate(
    quantities: Sequence[Quantity], context: Context, **tensors: Float[Array, "*atoms 3 3"]
) -> tuple[Float[Array, "*atoms"], ...]:
    """Values of quantities; tensors are decomposed once.

    Args:
        quantities: from `QUANTITIES`.
        context: what they need.
        tensors: efg (V/Å²), ms (ppm) or shift (ppm), as for `View`.

    Returns:
        One array for each quantity, in its unit.
    """
    view = View(context, **tensors)
    return tuple(quantity.function(view) for quantity in quantities)


def evaluate_flagged(
    quantities: Sequence[Quantity], context: Context, **tensors: Float[Array, "*atoms 3 3"]
) -> tuple[tuple[Float[Array, "*atoms"], ...], tuple[Bool[Array, "*atoms"], ...]]:
    """Values as from `evaluate`, and whether each is undefined: 0 because the tensor is isotropic, or axial, to
    rounding.
    """
    view = View(context, **tensors)
    values = tuple(quantity.function(view) for quantity in quantities)
    nowhere = jnp.zeros(next(iter(tensors.values())).shape[:-2], dtype=bool)
    return values, tuple(nowhere if one.undefined is None else one.undefined(view) for one in quantities)


def evaluate_with_gradients(
    functions: Sequence[Callable[[View], Float[Array, "*atoms"]]],
    context: Context,
    tensor: str,
    values: Float[Array, "*atoms 3 3"],
) -> tuple[tuple[Float[Array, "*atoms"], ...], tuple[Float[Array, "*atoms 3 3"], ...]]:
    """Values of functions of a `View`, and their derivatives with respect to each tensor's own elements.

    Args:
        functions: `Quantity.function` and `Kink.distance`.
        context: what they need.
        tensor: "efg" or "ms": which tensor `values` are.
        values: the tensors.

    Returns:
        Values and gradients G with ∂f = Σ_ij G_ij ∂T_ij, one array for each function. Gradients of an EFG's quantities
        are
        traceless: an EFG does not change along its trace.
    """

    def all_of(tensors: Float[Array, "*atoms 3 3"]) -> tuple[Float[Array, "*atoms"], ...]:
        view = View(context, **{tensor: tensors})
        return tuple(function(view) for function in functions)

    results, pullback = jax.vjp(all_of, values)
    zeros = tuple(jnp.zeros_like(result) for result in results)
    gradients = []
    for k, result in enumerate(results):
        # Every number depends on its own tensor only, so that one pass gives the gradients of the whole batch.
        (gradient,) = pullback((*zeros[:k], jnp.ones_like(result), *zeros[k + 1 :]))
        if tensor == "efg":
            trace = jnp.trace(gradient, axis1=-2, axis2=-1)[..., None, None]
            gradient = gradient - trace / 3.0 * identity_like(gradient)
        gradients.append(gradient)
    return results, tuple(gradients)


def describe() -> dict[str, dict[str, dict[str, str]]]:
    """Symbol, unit and meaning of every quantity, by what it is of and by its name."""
    return {kind: {name: one.described() for name, one in known.items()} for kind, known in QUANTITIES.items()}
