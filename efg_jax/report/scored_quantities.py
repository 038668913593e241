"""The quantities that reports score, and how they are written."""

from efg_jax.tensors.quantities import QUANTITIES, Quantity
from efg_jax.text import Label


def label_of(quantity: Quantity, remark: str = "") -> Label:
    """How a quantity of the registry is written."""
    return Label(quantity.symbol + remark, f"${quantity.mathtext}$", quantity.display_unit)


EFG, SHIELDING = QUANTITIES["efg"], QUANTITIES["shielding"]
EFG_SCORES = {
    "c_q_tilde": Label("C̃_Q", r"$\tilde{C}_Q$"),
    "eta_tilde": Label("η̃", r"$\tilde{\eta}$"),
    "c_q_mhz": label_of(EFG["c_q"]),
    "eta": label_of(EFG["eta"]),
    "nu_q_khz": label_of(EFG["nu_q"]),
    "nu_q_direct_khz": label_of(EFG["nu_q"], ", learned directly"),
    "v_nn": label_of(EFG["v_nn"]),
    "v_nn_direct": label_of(EFG["v_nn"], ", learned directly"),
    "theta": label_of(EFG["theta"]),
    "phi": label_of(EFG["phi"]),
    "theta_reassigned": label_of(EFG["theta"], ", axes reassigned"),
    "phi_reassigned": label_of(EFG["phi"], ", axes reassigned"),
}
"""What an EFG report scores, by the names of its JSON, in their units."""

SHIELDING_SCORES = {name: label_of(SHIELDING[name]) for name in ("sigma_iso", "anisotropy", "eta", "span", "skew")}
"""What a report on shieldings scores besides components."""
