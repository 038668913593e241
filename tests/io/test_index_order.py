"""The antisymmetric part of a shielding has one sign, whatever file it comes from.

First index: induced field. Far from a molecule of susceptibility χ the induced field is that of a point dipole, D χ B₀,
so that σ = −D χ there, and −D⁻¹σ is symmetric in this order only: PySCF's GIAO shieldings 13 Å from benzene give
diag(−474, −478, −1166) ppm a₀³ with an antisymmetric part of 18 as `molecules-nmr` has them, of 367 transposed.
"""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.geometry import find_mic
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax import datasets, site_observables
from efg_jax.errors import InputError
from efg_jax.io import read, write
from efg_jax.structures.declared_units import drop_units

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")

# PBE/aug-pcSseg-1, GIAO, of the molecule in soprano_ethanol.magres, as for molecules-nmr: `antisymmetric` of each atom,
# ppm (PySCF 2.14.0 with experiments.reference_data.molecules.nmr).
ETHANOL = [
    [-0.16, -0.27, 0.29], [0.50, 0.50, -0.10], [-0.14, 0.32, -0.72], [0.08, -1.21, -0.05], [-0.68, 0.48, 0.79],
    [0.03, 0.06, 0.91], [-2.97, -3.10, 3.83], [-0.20, -1.42, 1.29], [7.58, -1.00, -11.87],
]  # fmt: skip


def antisymmetric(ms):
    """The pseudovector v_k = ½ ε_kij σ_ij."""
    return np.stack([ms[:, i, j] - ms[:, j, i] for i, j in ((1, 2), (2, 0), (0, 1))], axis=1) / 2


def cosines(one, other):
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def along_normals(frames):
    """v·n of each H in water, n along OH × OH′."""
    found = []
    for atoms in frames:
        vectors, distances = antisymmetric(atoms.arrays["ms"]), atoms.get_all_distances(mic=True)
        for oxygen in np.flatnonzero(atoms.symbols == "O"):
            bonded = np.flatnonzero((atoms.symbols == "H") & (distances[oxygen] < 1.2))
            for one, other in (bonded, bonded[::-1]) if len(bonded) == 2 else ():
                arms = [atoms.get_distance(oxygen, hydrogen, mic=True, vector=True) for hydrogen in (one, other)]
                normal = np.cross(*arms)
                found.append(vectors[one] @ normal / np.linalg.norm(normal))
    return np.array(found)


@external
def test_castep_against_gauge_including_orbitals():
    (atoms,) = read(EXTERNAL / "soprano_ethanol.magres", target="ms")
    assert cosines(antisymmetric(atoms.arrays["ms"]), np.array(ETHANOL)).min() > 0.8


@external
def test_quantum_espresso_and_vasp_against_gauge_including_orbitals():
    """v·n of H in water is positive: the molecule's paramagnetism is largest for a field along H–H, and so is χ."""
    own = along_normals(datasets.load("molecules-nmr"))
    assert np.median(own) > 0.5
    assert (own > 0).mean() > 0.9
    assert along_normals(read(EXTERNAL / "magres" / "qe_h2o.nmr.magres", target="ms")).min() > 0.5
    vasp = along_normals(read(EXTERNAL / "27al_vasp_examples.json", target="ms"))
    assert len(vasp) == 24
    assert np.median(vasp) > 0.3
    assert (vasp > 0).mean() > 0.9


@external
def test_castep_against_vasp():
    (vasp,) = read(EXTERNAL / "outcar" / "AlPO-14_vasp642.OUTCAR.gz", target="ms")
    (castep,) = read(EXTERNAL / "magres" / "AlPO-14_castep241.magres.gz", target="ms")
    for symbol, count in (("Al", 8), ("P", 8)):
        one, other = (np.flatnonzero(atoms.symbols == symbol) for atoms in (vasp, castep))
        distances = np.array([find_mic(castep.positions[other] - place, vasp.cell)[1] for place in vasp.positions[one]])
        found = cosines(
            antisymmetric(vasp.arrays["ms"][one]), antisymmetric(castep.arrays["ms"][other[distances.argmin(axis=1)]])
        )
        assert len(found) == count
        assert found.min() > 0.6


@pytest.fixture
def molecule():
    atoms = datasets.load("molecules-nmr")[0]
    atoms.info = {}
    return atoms


def test_written_files_have_the_applied_field_first(molecule, tmp_path):
    write(tmp_path / "a.magres", molecule)
    there = ase.io.read(tmp_path / "a.magres")  # as it stands in the file
    assert_allclose(there.arrays["ms"], molecule.arrays["ms"].swapaxes(1, 2), rtol=1e-14)
    assert_allclose(read(tmp_path / "a.magres", target="ms")[0].arrays["ms"], molecule.arrays["ms"], rtol=1e-14)


def test_what_ase_read_from_magres_is_refused_until_it_is_transposed(molecule, tmp_path):
    del molecule.arrays["efg"]
    write(tmp_path / "a.magres", molecule)
    foreign = ase.io.read(tmp_path / "a.magres")
    with pytest.raises(InputError, match=r"order of magres files, applied field first.*transpose"):
        site_observables(foreign)
    ase.io.write(tmp_path / "b.extxyz", _flat(foreign))
    with pytest.raises(InputError, match=r"b\.extxyz, frame 0: 'ms' has its indices in the order of magres files"):
        read(tmp_path / "b.extxyz", target="ms")
    foreign.arrays["ms"] = foreign.arrays["ms"].swapaxes(1, 2)
    drop_units(foreign, "ms")
    assert len(site_observables(foreign)) == len(molecule)


def _flat(atoms):
    flat = atoms.copy()
    flat.arrays["ms"] = flat.arrays["ms"].reshape(-1, 9)
    return flat


def test_observables_and_spin_systems_do_not_depend_on_the_order(molecule, tmp_path):
    texts, name = [], "a.json"  # tables and ellipsoids; the other formats of sites are written from tables
    for _ in range(2):
        write(tmp_path / name, molecule, reference={"H": 30.0, "O": 300.0})
        texts.append((tmp_path / name).read_text())
        molecule.arrays["ms"] = molecule.arrays["ms"].swapaxes(1, 2).copy()
    assert_array_equal(*texts)
