"""Running averages: where they begin, and where they end."""

import numpy as np
from numpy.testing import assert_allclose
from trajectories.conftest import traceless

from efg_jax.trajectories import average

AXIAL = np.diag([-1.0, -1.0, 2.0])
MEGAHERTZ = 2.4179892421e-3


def test_running_averages_end_at_the_average(frame):
    generator = np.random.default_rng(9)
    values = traceless(generator, 300, 1) + 6 * AXIAL
    found = average(frame(v) for v in values)
    frames, series = found.running()
    assert len(frames) <= 128
    assert frames[-1] > 295
    k = len(frames) // 2
    mean = values[: frames[k], 0].mean(axis=0)
    zz = max(np.linalg.eigvalsh(mean), key=abs)
    assert_allclose(series.right[k, 0], -40.1 * MEGAHERTZ * 1e6 * zz, rtol=1e-9)


def test_an_atom_has_no_running_average_before_it_is_counted(frame):
    def frames():
        for number, row in enumerate(traceless(np.random.default_rng(10), 20, 2)):
            atoms = frame(row)
            atoms.arrays["near"] = np.array([True, number >= 5])
            yield atoms

    _, series = average(frames(), mask="near").running()
    for values in (series.right, series.wrong):
        assert np.isnan(values).tolist() == [[False, number < 5] for number in range(20)]
