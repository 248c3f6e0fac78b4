import numpy as np
import pytest
from scipy.optimize import nnls

from apmkit.synth.simplex import optimality, simplex_least_squares

SHAPES = [(19, 38, 12), (38, 19, 12), (14, 8, 8), (3, 3, 20), (4, 30, 10), (1, 6, 5)]


@pytest.mark.parametrize(("rows", "size", "count"), SHAPES)
@pytest.mark.parametrize("ridge", [0.0, 1e-6, 0.7])
def test_weights_meet_the_optimality_conditions(rows, size, count, ridge):
    points = np.random.default_rng(rows).normal(size=(count, rows, size)) + 0.5
    weights = simplex_least_squares(points, ridge)
    slack, loss = optimality(points, np.full(count, ridge), weights)
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-14)
    assert slack.min() > -1e-10
    assert np.abs(slack[weights > 0]).max() < 1e-10
    distance = np.square(points @ weights[:, :, None]).sum(axis=(1, 2))
    np.testing.assert_allclose(loss, distance + ridge**2 * np.square(weights).sum(axis=1), atol=1e-14)


@pytest.mark.parametrize(("rows", "size", "count"), SHAPES)
def test_loss_equals_that_of_non_negative_least_squares(rows, size, count):
    # |P u|^2 + (sum u - 1)^2 over u >= 0 is least at a multiple of the simplex solution.
    points = np.random.default_rng(size).normal(size=(count, rows, size)) + 0.5
    weights = simplex_least_squares(points, 0.01)
    _, loss = optimality(points, np.full(count, 0.01), weights)
    for p, ours in zip(points, loss, strict=True):
        system = np.vstack([p, 0.01 * np.eye(size), np.ones(size)])
        u, _ = nnls(system, np.append(np.zeros(rows + size), 1.0))
        w = u / u.sum()
        assert ours == pytest.approx(np.square(p @ w).sum() + 1e-4 * w @ w, rel=1e-9, abs=1e-12)


def test_a_problem_has_the_same_solution_alone_and_in_a_batch():
    points = np.random.default_rng(1).normal(size=(30, 6, 9))
    together = simplex_least_squares(points, 0.1)
    alone = np.vstack([simplex_least_squares(p[None], 0.1) for p in points])
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_among_equal_fits_the_weights_of_least_norm_are_taken():
    points = np.array([[[-1.0, -1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0, 5.0]]])
    np.testing.assert_allclose(simplex_least_squares(points), [[0.25] * 4, [1 / 3, 1 / 3, 1 / 3, 0]], atol=1e-7)


def test_points_that_are_all_zero_get_equal_weights():
    np.testing.assert_allclose(simplex_least_squares(np.zeros((2, 3, 4))), 0.25)
