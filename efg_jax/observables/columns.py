"""The columns of a table of observables: symbol, unit, and what each is."""

from typing import NamedTuple


class Column(NamedTuple):
    """How one observable is written.

    Attributes:
        symbol: heading of a table; {s} becomes σ or δ.
        unit: of the numbers, empty where there is none.
        digits: after the point, in a table.
        what: in words.
    """

    symbol: str
    unit: str
    digits: int
    what: str


EFG = {
    "v_zz": Column("V_zz", "V/Å²", 3, "largest principal component of the field gradient"),
    "c_q_mhz": Column("C_Q", "MHz", 4, "quadrupolar coupling constant eQV_zz/h, with its sign"),
    "p_q_mhz": Column("P_Q", "MHz", 4, "quadrupolar product C_Q √(1 + η²/3), with the sign of C_Q"),
    "eta_q": Column("η_Q", "", 4, "asymmetry of the field gradient, (V_xx − V_yy)/V_zz"),
    "nu_q_khz": Column(
        "ν_Q", "kHz", 2, "first-order quadrupolar splitting 3C_Q/(2I(2I − 1)) for a field along the z axis"
    ),
}
ISOTROPIC = {"iso_ppm": Column("{s}_iso", "ppm", 3, "isotropic {name}")}
HAEBERLEN = {
    "anisotropy_ppm": Column("Δ", "ppm", 3, "anisotropy {s}_zz − ({s}_xx + {s}_yy)/2 of the {name}, 3ζ/2"),
    "reduced_anisotropy_ppm": Column("ζ", "ppm", 3, "reduced anisotropy {s}_zz − {s}_iso of the {name}"),
    "eta_cs": Column("η_CS", "", 4, "asymmetry ({s}_yy − {s}_xx)/ζ of the {name}"),
}
MARYLAND = {
    "span_ppm": Column("Ω", "ppm", 3, "span, σ_33 − σ_11 = δ_11 − δ_33"),
    "skew": Column("κ", "", 4, "skew, 3(σ_iso − σ_22)/Ω = 3(δ_22 − δ_iso)/Ω"),
}
IUPAC = {
    f"cs_{k}{k}_ppm": Column(
        f"{{s}}_{k}{k}", "ppm", 3, f"principal component {k}{k} of the {{name}}, in order of frequency"
    )
    for k in (1, 2, 3)
}
CONVENTIONS = {"haeberlen": HAEBERLEN, "maryland": MARYLAND, "iupac": IUPAC}


def angle_columns(tensor: str, of_what: str) -> dict[str, Column]:
    """Three Euler angles, in degrees."""
    return {
        f"{tensor}_{angle}_deg": Column(f"{symbol}_{tensor}", "°", 2, f"ZYZ Euler angle {symbol} of {of_what}")
        for angle, symbol in (("alpha", "α"), ("beta", "β"), ("gamma", "γ"))
    }


EFG_ANGLES = angle_columns("efg", "the field gradient's principal axes in the crystal")
CS_ANGLES = angle_columns("cs", "the shielding's principal axes in the crystal")
RELATIVE_ANGLES = angle_columns("rel", "the shielding's principal axes in those of the field gradient")


def written_for(column: Column, sense: str) -> Column:
    """The column for a table of shieldings or of shifts."""
    letter = "σ" if sense == "shielding" else "δ"
    return column._replace(
        symbol=column.symbol.format(s=letter),
        what=column.what.format(s=letter, name=sense if sense == "shielding" else "shift"),
    )
