"""Choosing representative environments."""

import numpy as np
import pytest

from efg_jax.gp.environment_selection import select_environments


@pytest.fixture(scope="module")
def points():
    generator = np.random.default_rng(3)
    return np.abs(generator.normal(size=(40, 5)))


def test_farthest_points_are_those_of_the_plain_loop(points):
    chosen = [int(np.argmax(((points - points.mean(axis=0)) ** 2).sum(axis=1)))]
    while len(chosen) < 12:
        distances = ((points[:, None] - points[None, chosen]) ** 2).sum(axis=2).min(axis=1)
        chosen.append(int(np.argmax(distances)))
    assert select_environments(points, 12, "fps", 2.0).tolist() == chosen


@pytest.mark.parametrize("zeta", [1.0, 2.0])
def test_greedy_cur_takes_what_is_explained_least(points, zeta):
    """The residual of the kernel by an explicit projection on what was chosen."""
    kernel = (points @ points.T) ** zeta
    chosen: list[int] = []
    for _ in range(5):
        residual = np.diag(kernel).copy()
        if chosen:
            own = kernel[np.ix_(chosen, chosen)]
            residual -= np.einsum("ij,ji->i", kernel[:, chosen], np.linalg.solve(own, kernel[chosen]))
        chosen.append(int(np.argmax(residual)))
    assert select_environments(points, 5, "cur", zeta).tolist() == chosen


@pytest.mark.parametrize("selection", ["fps", "cur"])
def test_repeated_environments_are_taken_once(points, selection):
    repeated = np.vstack([points[:6]] * 3)
    chosen = select_environments(repeated, 18, selection, 2.0)
    assert len(chosen) == 6
    assert sorted(chosen % 6) == list(range(6))


def test_no_more_are_taken_than_there_are(points):
    assert sorted(select_environments(points, 100, "fps", 2.0)) == list(range(40))
