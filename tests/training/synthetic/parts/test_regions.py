import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_vrp_sam.training.synthetic.parts.draws import Draws
from napari_vrp_sam.training.synthetic.parts.regions import REGIONS, region_map, voronoi


@pytest.mark.parametrize("kind", REGIONS)
def test_region_maps_contain_several_materials(kind: str) -> None:
    index = region_map(kind, Draws(3), (96, 128), 4, 24.0, 0.4)
    assert index.shape == (96, 128)
    assert set(np.unique(index)) <= {0, 1, 2, 3}
    assert len(np.unique(index)) > 1


def test_the_coarse_voronoi_search_agrees_with_the_exact_one() -> None:
    fast, border = voronoi(Draws(1), (80, 96), 20.0, 0.0, coarse=2)
    exact, distance = voronoi(Draws(1), (80, 96), 20.0, 0.0, coarse=1)
    assert (fast == exact).mean() > 0.999
    # The slope of the difference is at most 2, which bounds the interpolation error.
    assert np.abs(border - distance).max() < 2.0
    assert np.abs(border - distance).mean() < 0.1


def test_borders_are_where_cells_meet() -> None:
    index, border = voronoi(Draws(2), (64, 64), 16.0, 1.0)
    change = index[:, 1:] != index[:, :-1]
    assert border[:, 1:][change].max() < 4
    tree = cKDTree(np.argwhere(change))
    far = np.argwhere(border > 12)
    assert tree.query(far)[0].min() > 2
