"""OUTCARs in VASP's layout, with tensors of one's choice: headings, rules and columns as the versions print them."""

import numpy as np

AVOGADRO_PER_ANGSTROM3 = 0.602214076


def outcar(
    atoms, efg=(), shift=None, g0=None, core=None, susceptibility=-1.25, *, new=False, frames=1, version="6.3.2"
) -> str:
    """Text of an OUTCAR.

    Args:
        atoms: structure, its atoms sorted by element.
        efg: tensors (ions, 3, 3) in V/Å² for each table.
        shift: δ[VASP] of the valence without G=0, (ions, 3, 3), printed row by row.
        g0: its G=0 contribution (3, 3).
        core: core shift by element.
        susceptibility: of the cores, 10⁻⁶ cm³/mol.
        new: print the sum as version 6.6 does (a shielding), instead of the isotropic values.
        frames: number of ionic steps.
    """
    kinds = list(dict.fromkeys(atoms.symbols))
    counts = [int((np.asarray(atoms.symbols) == kind).sum()) for kind in kinds]
    lines = [
        f" vasp.{version} 27Jun22 (build Sep 10 2022 10:15:09) complex",
        " executed on LinuxIFC date 2022.09.12  11:12:13",
    ]
    lines += [f" POTCAR:    PAW_PBE {kind} 08Apr2002                   " for kind in kinds] * 2
    lines += [
        f"   ions per type =         {''.join(f'{count:4d}' for count in counts)}",
        "   number of bands    NBANDS=     20",
        "   total plane-waves  NPLWV =     46656",
        "   NELECT =      24.0000    total number of electrons",
        "   ISPIN  =      1    spin polarized calculation?",
        "   IBRION =     -1    ionic relax: 0-MD 1-quasi-New 2-CG",
    ]
    for _ in range(frames):
        lines += _step(atoms)
    for table in efg:
        lines += _efg(table)
    if shift is not None:
        lines += _shift(atoms, kinds, np.asarray(shift), g0, core, susceptibility, new)
    return "\n".join([*lines, " General timing and accounting informations for this job:", ""])


def _step(atoms) -> list[str]:
    reciprocal = np.linalg.inv(atoms.cell.array).T
    lines = [
        "--------------------------------------- Iteration      1(  12)  ---------------------------------------",
        f"  volume of cell :   {atoms.get_volume():11.2f}",
        "      direct lattice vectors                 reciprocal lattice vectors",
    ]
    for own, other in zip(atoms.cell.array, reciprocal, strict=True):
        lines.append(" " + "".join(f"{value:13.9f}" for value in (*own, *other)))
    lines += [
        "",
        " POSITION                                       TOTAL-FORCE (eV/Angst)",
        " " + "-" * 83,
        *(
            "".join(f"{value:13.5f}" for value in position) + "      0.000000      0.000000      0.000000"
            for position in atoms.positions
        ),
        " " + "-" * 83,
        "    total drift:                                0.000000      0.000000      0.000000",
        "",
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)",
        "  ---------------------------------------------------",
        "  free  energy   TOTEN  =       -12.34567890 eV",
        "",
        "  energy  without entropy=      -12.34567890  energy(sigma->0) =      -12.34567890",
        "",
    ]
    return lines


def _efg(tensors) -> list[str]:
    rule = " " + "-" * 69
    lines = [
        " Electric field gradients (V/A^2)",
        rule[1:],
        " ion       V_xx      V_yy      V_zz      V_xy      V_xz      V_yz",
        rule[1:],
    ]
    for number, v in enumerate(tensors, start=1):
        six = (v[0, 0], v[1, 1], v[2, 2], v[0, 1], v[0, 2], v[1, 2])
        lines.append(f"{number:4d}   " + "".join(f"{value:10.3f}" for value in six))
    lines += [
        rule[1:],
        "",
        " Electric field gradients after diagonalization (V/A^2)",
        " (convention: |V_zz| > |V_xx| > |V_yy|)",
        rule[1:],
    ]
    lines += [" ion       V_xx      V_yy      V_zz     asymmetry (V_yy - V_xx)/ V_zz", rule[1:]]
    for number, v in enumerate(tensors, start=1):
        yy, xx, zz = sorted(np.linalg.eigvalsh(v), key=abs)
        lines.append(f"{number:4d}   " + "".join(f"{value:10.3f}" for value in (xx, yy, zz, (yy - xx) / zz)))
    return [*lines, rule[1:], ""]


def _matrices(tensors) -> list[str]:
    lines = []
    for number, tensor in enumerate(tensors, start=1):
        lines += [f" ion {number:4d}", *("".join(f"{value:19.6f}" for value in row) for row in tensor)]
    return lines


def _shift(atoms, kinds, shift, g0, core, susceptibility, new) -> list[str]:
    rule = " " + "-" * 61
    lines = [rule, "  Absolute Chemical Shift tensors", rule, "  UNSYMMETRIZED TENSORS ", *_matrices(shift + 0.01)]
    lines += ["  SYMMETRIZED TENSORS ", *_matrices(shift), rule, ""]
    if g0 is not None:
        lines += [rule, "  G=0 CONTRIBUTION TO CHEMICAL SHIFT (field along BDIR)  "]
        if new:
            lines.append("  using pGv susceptibility, excluding core contribution")
        lines += [rule, "  BDIR          X                 Y                 Z", rule]
        lines += [
            f" {number:4d}" + "".join(f"{value:18.6f}" for value in row) for number, row in enumerate(g0, start=1)
        ]
        lines += [rule, ""]
    if core is not None:
        lines += ["  Core NMR properties", "", "  typ  El   Core shift (ppm)", " ----------------------------"]
        lines += [f"  {number:3d}  {kind:2s} {core[kind]:16.7f}" for number, kind in enumerate(kinds, start=1)]
        lines += [
            " ----------------------------",
            "",
            f"  Core contribution to magnetic susceptibility: {susceptibility:9.2f}  10^-6 cm^3/mole",
        ]
        lines += [" " + "-" * 74, ""]
        # A sphere of susceptibility χ has the field (8π/3)χ inside; χ/(N_A V) is that of the volume.
        of_core = 8 * np.pi / 3 * susceptibility / (AVOGADRO_PER_ANGSTROM3 * atoms.get_volume())
        whole = shift + g0 + (np.array([core[kind] for kind in atoms.symbols]) + of_core)[:, None, None] * np.eye(3)
        lines += _sums(-whole) if new else _isotropic(shift, g0, core, whole, atoms)
    return lines


def _span_and_skew(tensor) -> tuple[float, float, float]:
    """Of a shift tensor."""
    low, middle, high = np.linalg.eigvalsh((tensor + tensor.T) / 2)
    iso = (low + middle + high) / 3
    return iso, high - low, 3 * (middle - iso) / (high - low)


def _isotropic(shift, g0, core, whole, atoms) -> list[str]:
    rule = "  " + "-" * 81
    lines = [" " * 110, rule, "   CSA tensor (J. Mason, Solid State Nucl. Magn. Reson. 2, 285 (1993))", rule]
    lines += [
        "              EXCLUDING G=0 CONTRIBUTION             INCLUDING G=0 CONTRIBUTION",
        "          -----------------------------------   -----------------------------------",
        "   ATOM    ISO_SHIFT        SPAN        SKEW     ISO_SHIFT        SPAN        SKEW",
        rule,
        "   (absolute, valence only) ",
    ]

    def rows(excluding, including):
        return [
            f"   {number:4d}" + "".join(f"{value:12.4f}" for value in (*_span_and_skew(one), *_span_and_skew(other)))
            for number, (one, other) in enumerate(zip(excluding, including, strict=True), start=1)
        ]

    cores = np.array([core[kind] for kind in atoms.symbols])[:, None, None] * np.eye(3)
    lines += [*rows(shift, shift + g0), rule, "   (absolute, valence and core) ", *rows(shift + cores, whole), rule]
    return [*lines, "   IF SPAN.EQ.0, THEN SKEW IS ILL-DEFINED", rule, ""]


def _sums(shielding) -> list[str]:
    """Version 6.6 and later."""
    rule = " " + "-" * 87
    lines = [rule, "  CSA tensor (J. Mason, Solid State Nucl. Magn. Reson. 2, 285 (1993))"]
    lines += ["  for chemical shielding  (including the isotropic core contribution)", ""]
    lines += ["  BDIR labels direction of applied magnetic field (i.e. B0)", "  For BDIR==1, B0 along x-axis, etc."]
    lines += ["  Induced field listed along cartesian directions for each BDIR", rule]
    lines += ["                 EXCLUDING G=0 CONTRIBUTION             INCLUDING G=0 CONTRIBUTION"]
    lines += ["            ------------------------------------   ------------------------------------"]
    lines += ["  ion  BDIR            X           Y           Z              X           Y           Z"]
    lines += ["          (   iso_shield        span        skew) (  iso_shield        span        skew)", rule]
    for number, tensor in enumerate(shielding, start=1):
        for direction, row in enumerate(tensor, start=1):
            first = f"{number:5d}" if direction == 1 else "     "
            lines.append(
                f"{first}{direction:6d}"
                + "".join(f"{value:12.4f}" for value in row - 1.0)
                + "   "
                + "".join(f"{value:12.4f}" for value in row)
            )
        iso, span, skew = _span_and_skew(-tensor)
        lines += [f"          ({-iso:13.4f}{span:12.4f}{skew:12.4f}) ({-iso:12.4f}{span:12.4f}{skew:12.4f})", ""]
    return [*lines[:-1], rule, "  IF SPAN.EQ.0, THEN SKEW IS ILL-DEFINED", rule, ""]
