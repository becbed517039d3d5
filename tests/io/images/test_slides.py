"""Slides of scanners, which describe their calibration in a text of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_vrp_sam.io.images.opening import open_image

SLIDE = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
APERIO = "Aperio Image Library v11.2.1\r\n96x64 [0,0 96x64] (32x32) JPEG/RGB Q=70|AppMag = 20"


@pytest.mark.parametrize(
    ("more", "sizes"),
    [("|MPP = 0.499", {"Y": 0.499, "X": 0.499}), ("|MPP = unknown", {}), ("", {})],
)
def test_calibration_of_aperio_is_used_if_it_is_there(
    tmp_path: Path, more: str, sizes: dict[str, float]
) -> None:
    path = tmp_path / "a.svs"
    tifffile.imwrite(
        path, SLIDE, photometric="rgb", tile=(32, 32), description=APERIO + more, metadata=None
    )
    stored = open_image(path)
    np.testing.assert_array_equal(stored.data, SLIDE)
    assert dict(stored.metadata.pixel_size) == sizes
    assert set(stored.metadata.units.values()) <= {"micrometer"}
