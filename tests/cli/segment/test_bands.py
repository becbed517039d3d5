"""Bands and missing pixels on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.common.image_axes import describe_channels
from napari_vrp_sam.inference.frames import Frames

TRUTH = np.zeros((2, 64, 80), np.uint8)
TRUTH[:, 10:34, 12:40] = 1


def run(*arguments: Any) -> Any:
    command = ["segment", *map(str, arguments), "--effort", "0.2", "--device", "cpu"]
    return CliRunner().invoke(app, command)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("drawn.tif", TRUTH[0], photometric="minisblack")
    return tmp_path


def iou(labels: np.ndarray) -> float:
    return float(((labels > 0) & (TRUTH > 0)).sum() / ((labels > 0) | (TRUTH > 0)).sum())


@pytest.mark.parametrize(
    ("axes", "channels", "names", "sentence"),
    [
        ("CYX", None, (), "Channels 0, 1, 2, 3 and 4 of 5 are used, combined to three by the"),
        ("CYX", [4], (), "Channel 4 of 5 is used; choose others with --channel."),
        (
            "CYX",
            [0, 2],
            ("B2", "B3", "B4", "B8", "B11"),
            "Channels B2 and B4 of 5 are",
        ),
        ("ZYX", None, (), ""),
    ],
)
def test_the_channels_in_use_are_described(
    axes: str, channels: list[int] | None, names: tuple[str, ...], sentence: str
) -> None:
    described = describe_channels(Frames(np.zeros((5, 20, 20)), axes, channels), names)
    assert described.startswith(sentence)
    assert bool(described) == bool(sentence)


def test_many_channels_are_described_by_their_range() -> None:
    described = describe_channels(Frames(np.zeros((200, 20, 20)), "CYX"))
    assert described.startswith("Channels 0 to 199 of 200 are used, combined")
    some = describe_channels(Frames(np.zeros((200, 20, 20)), "CYX", range(0, 200, 2)))
    assert some.startswith("100 channels of 200 are used, combined")


def test_all_bands_are_used_and_reported(folder: Path) -> None:
    rng = np.random.default_rng(0)
    bands = rng.normal(800, 60, (2, 6, 64, 80))
    bands[:, 4] = 2000 + 1500.0 * TRUTH + rng.normal(0, 180, TRUTH.shape)
    image = bands.clip(0).astype(np.uint16)
    tifffile.imwrite("bands.ome.tif", image, photometric="minisblack", metadata={"axes": "TCYX"})
    result = run("bands.ome.tif", "--reference", "drawn.tif", "--reference-frame", 0)
    assert result.exit_code == 0, result.stderr
    assert "6 are used, combined to three by the annotation; choose" in result.stderr
    (written,) = folder.glob("bands_labels*")
    assert iou(tifffile.imread(written)) > 0.9


def test_missing_pixels_by_an_option(folder: Path) -> None:
    image = 300 + 10.0 * TRUTH + np.random.default_rng(0).normal(0, 1, TRUTH.shape)
    image[:, 50:] = -9999
    tifffile.imwrite(
        "height.tif", image.astype(np.float32), photometric="minisblack", metadata={"axes": "TYX"}
    )
    result = run(
        "height.tif", "--reference", "drawn.tif", "--reference-frame", 0, "--nodata", -9999
    )
    assert result.exit_code == 0, result.stderr
    labels = tifffile.imread("height_labels.tif")
    assert iou(labels) > 0.9
    assert not labels[:, 50:].any()
