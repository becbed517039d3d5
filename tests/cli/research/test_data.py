from __future__ import annotations

from pathlib import Path

import pytest
from tests.few_shot_data import write_pascal
from typer.testing import CliRunner

from napari_vrp_sam.cli import app
from napari_vrp_sam.cli.app import console
from napari_vrp_sam.research.datasets.pascal5i import SBD, VOC


def test_paths_and_urls_are_not_truncated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 80)
    data = tmp_path / "data"
    data.mkdir()
    result = CliRunner().invoke(app, ["data", "check", "pascal5i", "--data", str(data)])
    assert result.exit_code == 2
    assert "…" not in result.stdout
    lines = result.stdout.splitlines()
    assert lines[-4:] == [
        "Download JPEGImages, val.txt, SegmentationClass from", VOC, "Download cls from", SBD,
    ]  # fmt: skip
    assert any("VOCdevkit/VOC2012/benchmark_RELEASE/dataset/cls" in line for line in lines)


def test_a_long_path_is_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 40)
    root = write_pascal(tmp_path / "data")
    result = CliRunner().invoke(app, ["data", "check", "pascal5i", "--data", str(root)])
    assert "…" not in result.stdout
    cells = [line.strip("│").split("│")[0].strip() for line in result.stdout.splitlines()]
    assert "VOCdevkit/VOC2012/SegmentationClassAug" in "".join(cells)
