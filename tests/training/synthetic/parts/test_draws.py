import numpy as np

from napari_vrp_sam.training.synthetic.parts.draws import Draws


def test_numbers_change_smoothly_with_depth_but_keep_their_distribution() -> None:
    numbers = {depth: Draws(3, depth).normal(20_000) for depth in (0.0, 0.1, 1.0)}
    for values in numbers.values():
        assert abs(values.mean()) < 0.03
        assert abs(values.std() - 1) < 0.03
    for depth in (0.1, 1.0):
        correlation = np.corrcoef(numbers[0.0], numbers[depth])[0, 1]
        assert abs(correlation - np.cos(depth)) < 0.03


def test_texture_changes_faster_than_layout() -> None:
    start = Draws(3).normal(5000)
    slow, fast = Draws(3, 0.1).normal(5000), Draws(3, 0.1).normal(5000, rate=5)
    assert np.abs(fast - start).mean() > 3 * np.abs(slow - start).mean()


def test_discrete_choices_do_not_depend_on_depth() -> None:
    assert Draws(4, 0.0).fixed.integers(1000) == Draws(4, 0.9).fixed.integers(1000)


def test_uniform_numbers_fill_their_range() -> None:
    values = Draws(5, 0.3).uniform(-2, 6, 20_000)
    quartiles = np.quantile(values, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [0, 2, 4], atol=0.15)
