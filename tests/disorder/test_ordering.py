"""Ordered cells of disordered crystals, against brute force, spglib, Burnside's lemma and the SOD program."""

from collections import Counter
from itertools import permutations, product
from math import comb
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.io import read
from ase.spacegroup import crystal
from numpy.testing import assert_allclose, assert_array_equal

import efg_jax as ej
from efg_jax import InputError
from efg_jax.disorder import order
from efg_jax.disorder.arrangements import Arrangements, Sublattice
from efg_jax.disorder.spinel import CELL_42, CHARGES, build_lto
from efg_jax.disorder.symmetry import site_permutations
from efg_jax.electrostatics import COULOMB, ewald_potential
from efg_jax.structures import check_frames

SOD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external" / "solid-solution"
PAIRS = [(i, i + 1) for i in range(0, 12, 2)]


def mixed(atoms: Atoms, **sites) -> Atoms:
    """The crystal with occupancies of elements instead of whole atoms."""
    noted = atoms.copy()
    symbols = list(dict.fromkeys(atoms.symbols))
    noted.arrays["spacegroup_kinds"] = np.array([symbols.index(symbol) for symbol in atoms.symbols])
    noted.info["occupancy"] = {str(k): sites.get(symbol, {symbol: 1.0}) for k, symbol in enumerate(symbols)}
    return noted


def pyrochlore(zirconium: float) -> Atoms:
    """La2(Sn,Zr)2O7, the cubic cell."""
    places = [(0.5, 0.5, 0.5), (0, 0, 0), (0.332, 0.125, 0.125), (0.375, 0.375, 0.375)]
    atoms = crystal(["La", "Sn", "O", "O"], places, spacegroup=227, setting=2, cellpar=[10.7] * 3 + [90] * 3)
    return mixed(atoms, Sn={"Sn": 1 - zirconium, "Zr": zirconium})


def split_chain(pairs: int, apart: float = 0.6) -> Atoms:
    """Na in half of the sites of pairs that are close to each other, along a lattice of Cl."""
    places = [[0, 0, 2.5 + sign * apart / 2] for sign in (-1, 1)]
    atoms = Atoms("ClNa2", positions=[[0, 0, 0], *places], cell=[4, 4.5, 5], pbc=True) * (pairs, 1, 1)
    return mixed(atoms, Na={"Na": 0.5})


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Si"),
        bulk("Ti") * (2, 2, 1),
        make_supercell(bulk("NaCl", "rocksalt", 5.6), [[1, 1, 0], [-1, 2, 0], [3, 0, 2]]),
        ej.datasets.load("silica-efg")[0],
        build_lto(CELL_42, lithium=0),
        pyrochlore(0.5),
    ],
    ids=lambda atoms: atoms.symbols.formula.format("hill"),
)
def test_permutations_are_those_of_spglib(atoms):
    found = site_permutations(atoms, atoms.numbers)
    scaled = atoms.get_scaled_positions()
    symmetry = spglib.get_symmetry((atoms.cell.array, scaled, atoms.numbers), symprec=0.01)
    expected = set()
    for rotation, shift in zip(symmetry["rotations"], symmetry["translations"], strict=True):
        apart = (scaled @ rotation.T + shift)[:, None] - scaled
        expected.add(tuple(np.linalg.norm(apart - np.round(apart), axis=-1).argmin(axis=1).tolist()))
    assert {tuple(row) for row in found.tolist()} == expected
    assert_array_equal(found[0], np.arange(len(atoms)))


@pytest.mark.parametrize(
    ("sublattices", "exclusions"),
    [
        ([("AB", (3, 3), range(6))], []),
        ([("AB ", (2, 1, 2), range(5)), ("C ", (1, 2), range(5, 8))], [(0, 5), (1, 2)]),
        ([("A ", (2, 4), range(0, 12, 2)), ("B ", (2, 4), range(1, 12, 2))], PAIRS),
        ([("A ", (2, 4), range(6))], [(0, 1), (1, 2), (0, 2), (3, 4), (4, 5), (3, 5)]),
        ([("A ", (2, 4), range(6))], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 5)]),
        ([("AB", (1, 1), range(2))], [(0, 1)]),
    ],
)
def test_arrangements_are_those_of_brute_force(sublattices, exclusions):
    own = [Sublattice(tuple(n.strip() for n in names), counts, np.array(sites)) for names, counts, sites in sublattices]
    owner = {int(site): sublattice for sublattice in own for site in sublattice.sites}
    expected = set()
    for chosen in product(*(range(len(owner[site].species)) for site in sorted(owner))):
        species = [owner[site].species[k] for site, k in enumerate(chosen)]
        held = all(
            Counter(species[i] for i in s.sites) == Counter(dict(zip(s.species, s.counts, strict=True))) for s in own
        )
        if held and not any(species[i] and species[j] for i, j in exclusions):
            expected.add(chosen)
    arrangements = Arrangements(own, exclusions)
    found = [tuple(chosen.tolist()) for chosen in arrangements]
    assert arrangements.total == len(found) == len(expected)
    assert set(found) == expected


def test_many_arrangements_are_counted_exactly():
    """40 pairs of split sites of two kinds, each half occupied."""
    sites = [Sublattice(("A", ""), (20, 20), np.arange(k, 80, 2)) for k in (0, 1)]
    found = Arrangements(sites, [(i, i + 1) for i in range(0, 80, 2)])
    assert found.total == comb(40, 20)
    last = found[found.total - 1].reshape(40, 2)
    assert (last.sum(axis=1) == 1).all()
    assert last[:, 0].sum() == 20


def test_the_279_configurations_with_an_even_number_of_zirconium():
    """Number and multiplicities of the inequivalent arrangements, by SOD (Moran et al., Chem. Sci. 2025)."""
    if not SOD.is_dir():
        pytest.skip("the output of SOD is not at hand")
    numbers = [1]
    for zirconium in range(2, 10, 2):
        found = order(pyrochlore(zirconium / 16))
        lines = [line.split() for line in (SOD / f"OUTSOD_{zirconium:02d}").read_text().splitlines()[2:] if line]
        ours = sorted(cell.info["multiplicity"] for cell in found.cells)
        assert ours == sorted(int(line[1]) for line in lines)
        numbers.append(len(ours))
        assert sum(cell.info["weight"] for cell in found.cells) == pytest.approx(1)
        assert {cell.symbols.count("Zr") for cell in found.cells} == {zirconium}
    assert 2 * sum(numbers[:-1]) + numbers[-1] == 279  # Sn and Zr exchanged


def test_lithium_on_16d_has_six_configurations():
    """Multiplicities of Harper et al. (2025); the energies order the cells, and are those of their own charges."""
    atoms = build_lto(CELL_42, lithium=0)
    atoms.arrays["spacegroup_kinds"] = np.unique(atoms.arrays["site"], return_inverse=True)[1]
    atoms.info["occupancy"] = {"0": {"Li": 1 / 6, "Ti": 5 / 6}, "1": {"O": 1.0}, "2": {"Li": 1.0}}  # 16d, 32e, 8a
    cells = order(atoms, charges=CHARGES).cells
    assert sorted(cell.info["multiplicity"] for cell in cells) == [3, 9, 9, 9, 18, 18]
    energies = [cell.info["ewald_energy"] for cell in cells]
    assert energies == sorted(energies)
    for cell in cells[::5]:
        charges = np.array([CHARGES[symbol] for symbol in cell.symbols])
        expected = 0.5 * COULOMB * charges @ ewald_potential(cell, np.arange(42), charges)
        assert_allclose(cell.info["ewald_energy"], expected, rtol=1e-12)


@pytest.mark.parametrize("supercell", [(3, 1, 2), [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]])
def test_orbits_are_counted_by_burnsides_lemma(supercell):
    """Three species and vacancies: the mean number of arrangements that an operation keeps, by brute force."""
    wanted = {"Na": 0.5, "K": 0.25} if supercell[0] != 3 else {"Na": 0.5, "K": 1 / 3}
    parent = mixed(bulk("NaCl", "rocksalt", 5.6), Na=wanted)
    found = order(parent, supercell=supercell)
    cell = make_supercell(bulk("NaCl", "rocksalt", 5.6), np.diag(supercell) if np.ndim(supercell) == 1 else supercell)
    sites = np.flatnonzero(cell.symbols == "Na")
    number = {site: place for place, site in enumerate(sites)}
    moved = {tuple(number[site] for site in row[sites]) for row in site_permutations(cell, cell.numbers)}
    contents = [species for species, count in found.composition[0].counts.items() for _ in range(count)]
    every = np.array(sorted(set(permutations(contents))))
    fixed = sum((every[:, np.array(row)] == every).all(axis=1).sum() for row in moved)
    assert found.arrangements == len(every)
    assert len(found.cells) == fixed / len(moved)
    assert sum(cell.info["multiplicity"] for cell in found.cells) == len(every)


def test_split_sites_are_never_both_occupied():
    """Each pair holds one atom: 2⁴ arrangements, drawn with equal frequencies; without the distance 8 over 4."""
    atoms = split_chain(4)
    found = order(atoms, count=800, seed=1)
    assert found.arrangements == 16
    drawn = Counter(tuple(np.round(cell.positions[cell.symbols == "Na", 2], 3)) for cell in found.cells)
    assert len(drawn) == 16
    assert sum((n - 50) ** 2 / 50 for n in drawn.values()) < 37.7  # χ² of 15 degrees of freedom, 0.1 %
    for cell in found.cells[:20]:
        distances = cell.get_all_distances(mic=True)[np.triu_indices(len(cell), 1)]
        assert distances.min() > 0.8
        assert cell.symbols.formula.count() == {"Cl": 4, "Na": 4}
    assert order(atoms, min_distance=0.5).arrangements == 70
    # An infinite chain of pairs has translations, and a mirror along it and one across it: necklaces of 4 beads.
    assert len(order(atoms).cells) == 4


def test_cells_are_whole_structures():
    parent = mixed(bulk("NaCl", "rocksalt", 5.6), Na={"Na": 0.5, "K": 0.2})
    parent.info["source_file"] = "NaCl.cif"
    first, again, other = (order(parent, supercell=(2, 5, 1), count=3, seed=seed) for seed in (0, 0, 1))
    for cell, same in zip(first.cells, again.cells, strict=True):
        assert cell == same
        assert cell.info == {"weight": 1 / 3}
        assert set(cell.arrays) == {"numbers", "positions"}
        assert cell.symbols.formula.count() == {"Na": 5, "K": 2, "Cl": 10}
    assert any(cell != drawn for cell, drawn in zip(first.cells, other.cells, strict=True))
    check_frames(first.cells)
    assert parent.info["occupancy"]["0"] == {"Na": 0.5, "K": 0.2}
    assert "K 0.2" in str(first)
    assert first.composition[0].counts == {"Na": 5, "K": 2, "": 3}


def test_equivalent_sites_of_a_crystal_in_p1_are_one_sublattice():
    """Two half-occupied O that a mirror exchanges: a cell of one of them has the composition."""
    atoms = Atoms("SiO3", positions=[[0, 0, 0], [1.6, 0, 0], [0, 1.6, 0], [0, 0, 1.6]], cell=[5, 5, 5], pbc=True)
    atoms.info["occupancy"] = {"0": {"Si": 1.0}, "1": {"O": 1.0}, "2": {"O": 0.5}, "3": {"O": 0.5}}
    (cell,) = order(atoms).cells
    assert cell.info["multiplicity"] == 2
    assert cell.symbols.formula.count() == {"Si": 1, "O": 2}


def test_compositions_that_a_cell_cannot_hold():
    parent = mixed(bulk("NaCl", "rocksalt", 5.6), Na={"Na": 0.7, "K": 0.3})
    with pytest.raises(
        InputError, match=r"only be Na 1, K 0; the smallest supercell within 0.05 has 3 cells, as 1 × 1 × 3"
    ):
        order(parent)
    with pytest.raises(InputError, match="10 cells, as 1 × 2 × 5"):
        order(parent, supercell=2, tolerance=0.0)
    assert order(parent, supercell=2).composition[0].reached == {"Na": 0.75, "K": 0.25}


@pytest.mark.parametrize(
    ("make", "options", "says"),
    [
        (lambda: bulk("NaCl", "rocksalt", 5.6), {}, "nothing to order"),
        (lambda: split_chain(4), {"count": 0}, "count must be"),
        (lambda: split_chain(4), {"supercell": 0}, "supercell must be"),
        (lambda: split_chain(4), {"supercell": (1, 2)}, "supercell must be"),
        (lambda: split_chain(4), {"min_distance": -1.0}, "must not be negative"),
        (lambda: split_chain(3), {"min_distance": 3.0}, "from a whole Cl atom"),
        (lambda: split_chain(12), {"min_distance": 0.1}, "too many to enumerate"),
        (lambda: split_chain(4), {"charges": {"Na": 1.0}}, "no charge is given for Cl"),
        (lambda: split_chain(4), {"charges": {"Na": 1.0, "Cl": -2.0}}, r"a charge of [+-]4 e"),
        (lambda: mixed(split_chain(4), Na={"Na": 0.75}), {}, "keeps all atoms 0.8 Å apart"),
        (lambda: mixed(split_chain(4), Na={"Na": 0.7, "K": 0.5}), {}, "more than 1 in all"),
        (lambda: Atoms("Na", positions=[[0, 0, 0]], info={"occupancy": {"0": {"Na": 0.5}}}), {}, "not periodic"),
    ],
)  # fmt: skip
def test_what_cannot_be_ordered(make, options, says):
    with pytest.raises(InputError, match=says):
        order(make(), **options)


def test_a_site_that_the_reader_does_not_resolve(tmp_path):
    """Fe²⁺ and Fe³⁺ on one site, of which ASE keeps the last occupancy."""
    text = (
        "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "Fe1 Fe 0 0 0 0.4\nFe2 Fe 0 0 0 0.6\nO1 O 0.5 0 0 1\n"
    )
    (tmp_path / "fe.cif").write_text(text)
    with pytest.raises(InputError, match="several of its atoms share a site"):
        order(read(tmp_path / "fe.cif"))
