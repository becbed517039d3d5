"""Names of results."""

from __future__ import annotations

from pathlib import Path

import pytest
import zarr

from napari_vrp_sam.cli.segment.output_paths import beside, objects_beside


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("exp.tif", "exp_labels.tif"),
        ("exp.1.tif", "exp.1_labels.tif"),
        ("exp.2.ome.TIF", "exp.2_labels.tif"),
        ("2024.05.01.Ome.tiff", "2024.05.01_labels.tif"),
        ("a.b.PNG", "a.b_labels.png"),
        (".tif", ".tif_labels.tif"),
    ],
)
def test_labels_of_a_file(image: str, labels: str) -> None:
    assert beside(Path("data.d", image)) == Path("data.d", labels)


def test_labels_of_folders_and_zarr(tmp_path: Path) -> None:
    (tmp_path / "2024.05.01_cells").mkdir()
    assert beside(tmp_path / "2024.05.01_cells") == tmp_path / "2024.05.01_cells_labels"
    zarr.create_array(str(tmp_path / "exp.1.ome.zarr"), shape=(2, 2), dtype="u1")
    assert beside(tmp_path / "exp.1.ome.zarr") == tmp_path / "exp.1_labels.zarr"


@pytest.mark.parametrize(
    ("labels", "objects"),
    [
        ("exp.1_labels.tif", "exp.1_objects.tif"),
        ("exp.2_labels.zarr", "exp.2_objects.tif"),
        ("2024.05.01_cells_labels", "2024.05.01_cells_objects.tif"),
        ("mine.png", "mine_objects.tif"),
    ],
)
def test_objects_of_labels(labels: str, objects: str) -> None:
    assert objects_beside(Path("data.d", labels)) == Path("data.d", objects)
