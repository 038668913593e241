"""Real OUTCARs: against the tables of C_Q, η and shifts that VASP prints, and one crystal against CASTEP."""

import gzip
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from ase.geometry import find_mic
from numpy.testing import assert_allclose

from efg_jax import tensors
from efg_jax.io import read

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
pytestmark = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")
MHZ_PER_MILLIBARN = 2.4179892421e-3


def printed(path, heading, columns, rows):
    """Rows that begin with the number of an ion, after a heading."""
    with gzip.open(path, "rt") as file:
        words = [line.split() for line in file.read().partition(heading)[2].splitlines()]
    found = [row[1:] for row in words if len(row) == columns + 1 and row[0].isdecimal()][:rows]
    return np.array(found, dtype=float)


@pytest.mark.parametrize(
    ("name", "formula", "shielding"),
    [
        ("AlPO-14_vasp642", "Al8O32P8", True),
        ("AlPO4_vasp541", "Ca2Al8Si4H4O24", False),
        ("CoSe_jarvis", "Co2Se2", False),
        ("NaNbO2F2_vasp621", "Na4Nb4O8F8", True),
    ],
)
def test_vasp_s_own_tables(name, formula, shielding):
    path = EXTERNAL / "outcar" / f"{name}.OUTCAR.gz"
    (atoms,) = read(path)
    assert str(atoms.symbols) == formula
    assert ("ms" in atoms.arrays) == shielding
    c_q, eta, q = printed(path, "NMR quadrupolar parameters", 3, len(atoms)).T
    values = np.linalg.eigvalsh(atoms.arrays["efg"])
    xx, yy, zz = np.take_along_axis(values, np.abs(values).argsort(axis=1), axis=1).T
    assert (q != 0).any()
    assert_allclose(MHZ_PER_MILLIBARN * q * zz, c_q, atol=7e-4)  # three decimals of V_zz and of C_Q
    assert_allclose((xx - yy) / zz, eta, atol=2e-3)
    if shielding:
        *_, iso, span, skew = printed(path, "(absolute, valence and core)", 6, len(atoms)).T
        low, middle, high = np.linalg.eigvalsh((ms := atoms.arrays["ms"]) + ms.swapaxes(1, 2)).T / 2
        assert_allclose(-(low + middle + high) / 3, iso, atol=1e-6)
        assert_allclose(high - low, span, atol=1e-4)
        assert_allclose((low + high - 2 * middle) / (high - low), skew, atol=1e-4)


@pytest.fixture(scope="module")
def alpo():
    """AlPO-14 by VASP and by CASTEP, the atoms of the second in the order of the first."""
    (vasp,) = read(EXTERNAL / "outcar" / "AlPO-14_vasp642.OUTCAR.gz")
    (castep,) = read(EXTERNAL / "magres" / "AlPO-14_castep241.magres.gz")
    order = []
    for symbol, place in zip(vasp.symbols, vasp.positions, strict=True):
        own = np.flatnonzero(castep.symbols == symbol)
        distances = find_mic(castep.positions[own] - place, vasp.cell)[1]
        assert distances.min() < 0.15
        order.append(own[distances.argmin()])
    assert len(set(order)) == len(vasp) == 48
    return vasp, castep[order]


def test_field_gradients_of_vasp_and_castep(alpo):
    """Two sets of pseudopotentials, and axes turned by 0.4°."""
    efg = np.stack([atoms.arrays["efg"] for atoms in alpo])
    axes = tensors.principal_axes(jnp.asarray(efg))
    eta, turned = np.asarray(tensors.asymmetry(axes.values)), np.rad2deg(tensors.z_axis_angle(*axes.axes))
    assert np.abs(eta[0] - eta[1]).max() < 0.08
    uniaxial = eta[0] < 0.95  # elsewhere z and y change places
    assert uniaxial.sum() == 46
    assert turned[uniaxial].max() < 2.0
    for symbol, nucleus in (("Al", "27Al"), ("O", "17O"), ("P", None)):
        own = np.asarray(alpo[0].symbols == symbol)
        assert np.linalg.norm(efg[0, own] - efg[1, own]) < 0.05 * np.linalg.norm(efg[1, own])
        if nucleus:
            c_q = tensors.coupling_constant(axes.zz, nucleus)[:, own & uniaxial] / 1e6
            assert_allclose(c_q[0], c_q[1], rtol=0.04)


@pytest.mark.parametrize(
    ("symbol", "slope", "error", "anisotropic"),
    [("Al", 0.97, 0.1, 0.96), ("P", 0.92, 0.5, 0.95), ("O", 1.09, 2.0, 0.99)],
)
def test_shifts_of_vasp_and_castep(alpo, symbol, slope, error, anisotropic):
    """Isotropic values lie on a line of about slope 1; its constant is that of the reference, and is fitted."""
    one, other = (atoms.arrays["ms"][atoms.symbols == symbol] for atoms in alpo)
    first, second = (np.trace(ms, axis1=1, axis2=2) / 3 for ms in (one, other))
    line = np.polyfit(second, first, 1)
    assert_allclose(line[0], slope, atol=0.01)
    assert np.std(first - np.polyval(line, second)) < error
    parts = [
        (ms + ms.swapaxes(1, 2)) / 2 - iso[:, None, None] * np.eye(3) for ms, iso in ((one, first), (other, second))
    ]
    assert np.corrcoef(parts[0].ravel(), parts[1].ravel())[0, 1] > anisotropic
