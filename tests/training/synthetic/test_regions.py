import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_vrp_sam.training.synthetic.draws import Draw
from napari_vrp_sam.training.synthetic.regions import REGIONS, region_map, voronoi


@pytest.mark.parametrize("kind", REGIONS)
def test_region_maps_hold_several_materials(kind: str) -> None:
    index = region_map(kind, Draw(3), (96, 128), 4, 24.0, 0.4)
    assert index.shape == (96, 128)
    assert set(np.unique(index)) <= {0, 1, 2, 3}
    assert len(np.unique(index)) > 1


def test_the_coarse_voronoi_search_finds_what_the_exact_one_finds() -> None:
    fast, border = voronoi(Draw(1), (80, 96), 20.0, 0.0, coarse=2)
    exact, distance = voronoi(Draw(1), (80, 96), 20.0, 0.0, coarse=1)
    assert (fast == exact).mean() > 0.999
    # the difference changes by two pixels a pixel at most, which bounds the interpolation
    assert np.abs(border - distance).max() < 2.0
    assert np.abs(border - distance).mean() < 0.1


def test_borders_are_where_cells_meet() -> None:
    index, border = voronoi(Draw(2), (64, 64), 16.0, 1.0)
    change = index[:, 1:] != index[:, :-1]
    assert border[:, 1:][change].max() < 4
    tree = cKDTree(np.argwhere(change))
    far = np.argwhere(border > 12)
    assert tree.query(far)[0].min() > 2
