"""Level of theory of the molecules, as every frame says it in its info."""

XC = "PBE"
BASIS = "aug-pcSseg-1"
AUXILIARY = "def2-universal-jkfit"  # of the Coulomb energy
GRID = 3  # PySCF's level: 50 radial shells of 302 points for H, 75 and 80 for the second and third period
CONVERGENCE = 1e-10  # Hartree

PROVENANCE_OF_MOLECULES = ("code", "xc", "basis", "auxiliary_basis", "grid")


def provenance_of_molecules(code: str) -> dict[str, str | int]:
    """Level of theory of the set, with the code that ran."""
    return {"code": code, "xc": XC, "basis": BASIS, "auxiliary_basis": AUXILIARY, "grid": GRID}
