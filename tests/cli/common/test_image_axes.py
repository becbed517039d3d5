"""Files that state wrong or unsupported axes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app

STACK = np.random.default_rng(0).integers(0, 255, (4, 48, 64), np.uint8)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four planes stored as colours, files with unsupported axes, and labels of one plane."""
    drawn = np.zeros((48, 64), np.uint8)
    drawn[10:30, 12:40] = 1
    tifffile.imwrite(tmp_path / "drawn.tif", drawn)
    tifffile.imwrite(tmp_path / "colours.tif", STACK, photometric="rgb", planarconfig="separate")
    tifffile.imwrite(tmp_path / "planes.tif", STACK, photometric="minisblack")
    many = np.broadcast_to(STACK[0], (2, 2, 2, 2, 48, 64))
    tifffile.imwrite(tmp_path / "six.tif", many, photometric="minisblack")
    named = {"axes": "QZTYX"}
    tifffile.imwrite(tmp_path / "five.tif", many[0], photometric="minisblack", metadata=named)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def error_of(command: str, *arguments: str) -> str:
    output = ["--output", "own.safetensors"] if command == "fine-tune" else []
    reference = ["--reference", "drawn.tif", "--device", "cpu"]
    result = CliRunner().invoke(app, [command, *arguments, *reference, *output])
    assert result.exit_code == 2, result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.mark.parametrize("command", ["segment", "fine-tune"])
def test_missing_frame(files: Path, command: str) -> None:
    message = error_of(command, "colours.tif", "--reference-frame", "1")
    assert "is read as YXS; if that is wrong, name the axes with --axes, for example ZYX" in message
    message = error_of(command, "planes.tif", "--reference-frame", "4")
    assert "is read as ZYX; if that is wrong, name the axes with --axes." in message
    message = error_of(command, "planes.tif", "--reference-frame", "4", "--axes", "ZYX")
    assert "There is no frame 4: the stack has 4 frames" in message
    assert "is read as ZYX; choose another frame." in message


@pytest.mark.parametrize("command", ["segment", "fine-tune"])
def test_unsupported_axes(files: Path, command: str) -> None:
    message = error_of(command, "six.tif", "--reference-frame", "0")
    assert "six.tif has the axes ZTQQYX, which are too many: save a subset" in message
    message = error_of(command, "five.tif", "--reference-frame", "0")
    assert "five.tif has the axes QZTYX: name them with --axes" in message
