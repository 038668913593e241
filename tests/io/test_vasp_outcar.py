"""OUTCARs in VASP's layout against pymatgen's parser, and against the sum of their parts."""

import gzip

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from oracles.outcar import outcar

from efg_jax.errors import InputError
from efg_jax.io import read

CORE = {"Al": -766.2208931, "O": -271.0765231}
SHAPE = (5, 3, 3)


@pytest.fixture
def crystal():
    rng = np.random.default_rng(3)
    cell = np.array([[4.7, 0.1, 0.0], [-2.0, 4.1, 0.2], [0.3, 0.0, 5.9]])
    atoms = Atoms(
        "Al2O3",
        cell=cell,
        pbc=True,
        scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5], [0.3, 0, 0.25], [0, 0.4, 0.75], [0.7, 0.6, 0.1]],
    )
    v = rng.normal(size=SHAPE) * 30
    v = v + v.swapaxes(1, 2)
    v = v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return atoms, v, rng.normal(size=SHAPE) * 20 + 200 * np.eye(3), rng.normal(size=(3, 3)) * 0.3 - 10 * np.eye(3)


@pytest.fixture
def write(tmp_path):
    def make(text, name="OUTCAR"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_field_gradients_are_those_that_pymatgen_reads(crystal, write):
    atoms, v, *_ = crystal
    path = write(outcar(atoms, [v]))
    (found,) = read(path)
    from pymatgen.io.vasp.outputs import Outcar

    assert_allclose(found.arrays["efg"], np.array(Outcar(str(path)).read_nmr_efg_tensor()), atol=2e-3)
    assert_allclose(found.arrays["efg"], v, atol=2e-3)  # three decimals
    assert_allclose(np.trace(found.arrays["efg"], axis1=1, axis2=2), 0, atol=1e-12)
    assert str(found.symbols) == "Al2O3"
    assert_allclose(found.positions, atoms.positions, atol=1e-5)
    assert_allclose(found.cell.array, atoms.cell.array, atol=1e-8)


def test_the_shielding_is_minus_the_sum_of_what_pymatgen_reads(crystal, write):
    atoms, _, shift, g0 = crystal
    path = write(outcar(atoms, [], shift, g0, CORE, susceptibility=0.0))
    (found,) = read(path, target="ms")
    from pymatgen.io.vasp.outputs import Outcar

    parser = Outcar(str(path))
    parser.read_cs_g0_contribution()
    parser.read_cs_core_contribution()
    parser.read_cs_raw_symmetrized_tensors()
    parser.read_chemical_shielding()
    cores = [parser.data["cs_core_contribution"][symbol] for symbol in atoms.symbols]
    # pymatgen takes the tensors before VASP's symmetrisation, here 0.01 ppm off in every component.
    whole = np.array(parser.data["unsym_cs_tensor"]) - 0.01 + np.array(parser.data["cs_g0_contribution"])
    whole = whole + np.array(cores)[:, None, None] * np.eye(3)
    ms = found.arrays["ms"]
    assert_allclose(ms.swapaxes(1, 2), -whole, atol=1e-4)
    printed = np.array(parser.data["chemical_shielding"]["valence_and_core"])
    assert_allclose(np.trace(ms, axis1=1, axis2=2) / 3, -printed[:, 0], atol=1e-6)
    values = np.linalg.eigvalsh((ms + ms.swapaxes(1, 2)) / 2)
    assert_allclose(values[:, 2] - values[:, 0], printed[:, 1], atol=1e-4)
    # Mason's skew is one number for shielding, 3(σ_iso − σ_22)/Ω, and shift.
    assert_allclose(3 * (values.mean(axis=1) - values[:, 1]) / (values[:, 2] - values[:, 0]), printed[:, 2], atol=1e-4)


def test_the_cores_susceptibility_is_in_the_sum(crystal, write):
    # VASP's manual, LCHIMAG: atoms of one crystal, all of which VASP's core susceptibility moves by -11.8431 -
    # (-8.8429) ppm.
    atoms, _, shift, g0 = crystal
    without, with_it = (
        read(write(outcar(atoms, [], shift, g0, CORE, susceptibility=chi)), target="ms")[0].arrays["ms"]
        for chi in (0.0, -16.7)
    )
    moved = 8 * np.pi / 3 * -16.7e-6 / (6.02214076e23 * atoms.get_volume() * 1e-24) * 1e6
    assert_allclose(with_it - without, -moved * np.broadcast_to(np.eye(3), SHAPE), atol=2e-4)


def test_rows_are_directions_of_the_applied_field(crystal, write):
    """σ_ij = −∂B_i/∂B_j: a field along x that induces one along y is σ_yx."""
    atoms = crystal[0]
    shift = np.zeros(SHAPE) + 100 * np.eye(3)
    shift[:, 0, 1] = 7.0  # BDIR 1, direction 2
    (found,) = read(write(outcar(atoms, [], shift, np.zeros((3, 3)), CORE)), target="ms")
    assert_allclose(found.arrays["ms"][:, 1, 0], -7.0, atol=1e-6)
    assert_allclose(found.arrays["ms"][:, 0, 1], 0.0, atol=1e-6)


@pytest.mark.parametrize("name", ["OUTCAR", "run1.OUTCAR", "output.txt", "OUTCAR.gz"])
def test_both_layouts_give_the_same(crystal, tmp_path, name):
    atoms, v, shift, g0 = crystal
    found = []
    for new in (False, True):
        text = outcar(atoms, [v], shift, g0, CORE, susceptibility=-3.5, new=new, version="6.6.0" if new else "5.4.4")
        (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        found += read(tmp_path / name)
    assert_allclose(found[0].arrays["ms"], found[1].arrays["ms"], atol=2e-4)
    assert_allclose(found[0].arrays["efg"], found[1].arrays["efg"])


def test_tables_belong_to_their_ionic_step_or_to_the_last(crystal, write):
    atoms, v, *_ = crystal
    frames = read(write(outcar(atoms, [v, 2 * v], frames=2)))
    assert_allclose(frames[1].arrays["efg"], 2 * v, atol=2e-3)
    assert_allclose(frames[0].arrays["efg"], v, atol=2e-3)
    frames = read(write(outcar(atoms, [v], frames=3)), target=None)
    assert ["efg" in one.arrays for one in frames] == [False, False, True]
    (last,) = read(write(outcar(atoms, [v], frames=3)), index="-1")
    assert last.info["source_frame"] == 2
    with pytest.raises(InputError, match=r"OUTCAR: has 2 tables of electric field gradients for 3 structures"):
        read(write(outcar(atoms, [v, v], frames=3)))
    with pytest.raises(InputError, match="holds no frame 5"):
        read(write(outcar(atoms, [v])), index=5)


def test_an_outcar_without_tensors_is_a_structure(crystal, write):
    (found,) = read(write(outcar(crystal[0])), target=None)
    assert not {"efg", "ms"} & set(found.arrays)
    with pytest.raises(InputError, match="no 'efg' here"):
        read(write(outcar(crystal[0])))


def test_what_is_wrong_is_said(crystal, write):
    atoms, v, shift, g0 = crystal
    whole = outcar(atoms, [v], shift, g0, CORE)

    def refused(text, match):
        with pytest.raises(InputError, match=match) as caught:
            read(write(text))
        assert "\n" not in str(caught.value)

    lines = outcar(atoms, [v]).splitlines()
    heading = next(i for i, line in enumerate(lines) if "Electric field" in line)
    refused("\n".join(lines[: heading + 6]), r"the table 'Electric field gradients \(V/A\^2\)' is cut short")
    row = lines[heading + 4]
    refused("\n".join(lines).replace(row, row[:7] + "**********" + row[17:]), "stars")
    refused("\n".join(lines).replace(row + "\n", ""), "cut short")
    refused(outcar(atoms, [], shift, g0), "no 'Core NMR properties'")
    refused(outcar(atoms, [], shift, None), "no 'G=0 CONTRIBUTION")
    refused(
        whole.replace("-766.2208931", "-700.2208931"),
        r"atom 0: the parts of the shift add up to .* put together from several",
    )


def test_only_outcars_are_taken_for_outcars(crystal, tmp_path):
    """What is made from an OUTCAR likes to have its name; what ASE would take for a POSCAR too."""
    from efg_jax.io import iread, write
    from efg_jax.io.vasp_outcar import is_outcar

    atoms, v, *_ = crystal
    atoms.arrays["efg"] = v
    for name in ("OUTCAR.extxyz", "outcar_set.xyz", "POSCAR.extxyz", "CONTCAR_pred.xyz", "OUTCAR.xyz.gz"):
        write(tmp_path / name, [atoms, atoms])
        for found in (read(tmp_path / name), list(iread(tmp_path / name))):
            assert_allclose(found[1].arrays["efg"].reshape(SHAPE), v, atol=1e-8)
    text = outcar(atoms, [v]).encode()
    for name, raw in (("OUTCAR_2", text), ("OUTCAR.static", text), ("OUTCAR.static.gz", gzip.compress(text))):
        (tmp_path / name).write_bytes(raw)
        assert is_outcar(tmp_path / name)
        assert_allclose(read(tmp_path / name)[0].arrays["efg"], v, atol=2e-3)


def test_cut_right_after_a_heading(crystal, write):
    atoms, _, shift, g0 = crystal
    for new, heading in ((False, "magnetic susceptibility:"), (True, "for chemical")):
        text = outcar(atoms, [], shift, g0, CORE, new=new)
        assert heading in text
        with pytest.raises(InputError, match="is cut short"):
            read(write(text[: text.index(heading) + len(heading)]), target="ms")


# Two Mg of hydromagnesite, ions 73 and 74 of 74, as VASP 5.4.1 printed them:
# test_files/nmr/cs/core.diff/hydromagnesite/OUTCAR of pymatgen (MIT licence).
VALENCE = [
    [[-153.781288, 0.888055, -8.504286], [5.273574, -132.210699, 2.913303], [-8.497466, 0.460163, -139.557285]],
    [[-153.803459, -0.887630, -8.515392], [-5.270950, -132.195369, -2.927726], [-8.527458, -0.473284, -139.547450]],
]
G0 = [[-7.656428, -0.000020, 0.016032], [0.0, -7.505309, -0.000043], [0.025939, -0.000043, -7.616261]]
PRINTED = [[-149.4424, 26.6228, 0.6991], [-149.4414, 26.6725, 0.6998]]  # isotropic shift, span and skew, including G=0
WARNING = """ WARNING: MLR_CORE_SHIFTS: can not compute core contributions for atomic type:   1
          CORE CONTRIBUTION TO SHIELDING AND SUSCEPTIBILITY ARE INCORRECT
"""


def test_numbers_of_a_real_run_add_up_and_what_vasp_could_not_compute_is_said(write):
    atoms = Atoms("Mg2", positions=[[0, 0, 0], [0, 0, 3.0]], cell=[6.0, 6.0, 7.0], pbc=True)
    text = outcar(atoms, [], np.array(VALENCE), np.array(G0), {"Mg": 0.0}, susceptibility=0.0)
    path = write(text.replace("  Core NMR properties", f"{WARNING}\n  Core NMR properties"))
    with pytest.warns(UserWarning, match=r"OUTCAR: VASP could not compute core contributions of Mg"):
        (found,) = read(path, target="ms")
    ms = found.arrays["ms"]
    values = np.linalg.eigvalsh((ms + ms.swapaxes(1, 2)) / 2)
    span = values[:, 2] - values[:, 0]
    skew = 3 * (values.mean(axis=1) - values[:, 1]) / span
    assert_allclose(np.stack([-values.mean(axis=1), span, skew], axis=1), PRINTED, atol=1e-4)
