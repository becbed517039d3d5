from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.inference.runs.files.output_paths import default_labels_path

STACK = np.random.default_rng(0).integers(0, 250, (3, 24, 32), dtype=np.uint8)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """OME-TIFF with an overview and a stack."""
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name, image in (("overview", STACK[0]), ("stack", STACK)):
            metadata = {
                "axes": "ZYX"[-image.ndim :], "Name": name, "PhysicalSizeX": 0.25,
                "PhysicalSizeXUnit": "µm",
            }  # fmt: skip
            file.write(image, photometric="minisblack", metadata=metadata)
    return tmp_path / "a.ome.tif"


def test_images_are_listed(scenes: Path) -> None:
    result = CliRunner().invoke(app, ["images", str(scenes)], env={"COLUMNS": "120"})
    assert result.exit_code == 0, result.stderr
    lines = [line for line in result.stdout.splitlines() if "uint8" in line]
    assert [" ".join(line.strip("│ ").split("│")).split() for line in lines] == [
        ["0", "overview", "YX", "24", "x", "32", "uint8", "X", "0.25", "micrometer"],
        ["1*", "stack", "ZYX", "3", "x", "24", "x", "32", "uint8", "X", "0.25", "micrometer"],
    ]


@pytest.mark.filterwarnings("default")
def test_other_images_are_reported_and_chosen(scenes: Path) -> None:
    labels = np.zeros((24, 32), np.uint8)
    labels[4:12, 4:12] = 1
    tifffile.imwrite(scenes.with_name("ref.tif"), labels)
    given = ["segment", str(scenes), "--reference", str(scenes.with_name("ref.tif")),
             "--reference-frame", "0", "--effort", "0.1", "--overwrite"]  # fmt: skip
    main = CliRunner().invoke(app, given)
    assert main.exit_code == 0, main.stderr
    assert "Warning: a.ome.tif holds 2 images (0: 'overview'" in main.stderr
    assert tifffile.imread(scenes.with_name("a_labels.tif")).shape == (3, 24, 32)
    for choice in ("overview", "0"):
        other = CliRunner().invoke(app, [*given, "--image", choice])
        assert other.exit_code == 0, other.stderr
        assert "Warning" not in other.stderr
        assert tifffile.imread(scenes.with_name("a_labels.tif")).shape == (24, 32)
    wrong = CliRunner().invoke(app, [*given, "--image", "label"])
    assert wrong.exit_code == 2
    assert "has no image label: choose one of 0 (overview), 1 (stack)." in wrong.stderr


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("a/b.czi", "a/b_labels.tif"),
        ("a/b.nii.gz", "a/b_labels.tif"),
        ("a/b.ome.zarr.zip", "a/b_labels.tif"),
        ("a/b.1.ome.btf", "a/b.1_labels.tif"),
        ("a/b.png", "a/b_labels.png"),
        ("a/scan.2024", "a/scan.2024_labels.tif"),
    ],
)
def test_labels_are_written_beside_images_of_any_format(image: str, labels: str) -> None:
    assert default_labels_path(Path(image)) == Path(labels)


def test_labels_of_a_pattern_are_written_beside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan/x1.png").touch()
    assert default_labels_path(tmp_path / "scan" / "*.png") == tmp_path / "scan_labels"
