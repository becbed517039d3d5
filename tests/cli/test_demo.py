from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import tifffile
from typer.testing import CliRunner

from napari_vrp_sam.cli import app, demo
from napari_vrp_sam.io import samples
from napari_vrp_sam.io.images.stacks import read_stack

runner = CliRunner()


@pytest.mark.slow
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on smaller stacks than `tox -e demo`."""
    real_stack, real_nuclei = samples.sample_stack, samples.sample_nuclei
    monkeypatch.setattr(samples, "sample_stack", lambda seed: real_stack(seed, 128, 5))
    monkeypatch.setattr(samples, "sample_nuclei", lambda seed, frames: real_nuclei(seed, 96, 3))
    opened: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: opened.append(command))
    out = tmp_path / "out"
    result = runner.invoke(app, ["demo", "--output", str(out), "--open", "--device", "cpu"])
    assert result.exit_code == 0, result.stderr
    assert "random forest" in result.stdout
    for name, frames in (("mitochondria", 5), ("nuclei", 3)):
        arrays = {
            part: tifffile.imread(out / f"{name}_{part}.tif")
            for part in ("stack", "annotation", "labels", "truth")
        }
        assert {len(array) for array in arrays.values()} == {frames}
        annotated = [index for index, frame in enumerate(arrays["annotation"]) if frame.any()]
        assert annotated == [frames // 2]
        assert arrays["labels"].any()
        assert read_stack(out / f"{name}.png")[0].shape[1] > 1000
    assert (out / "glands.png").exists()
    assert opened[0][3:] == [
        str(out / f"mitochondria_{part}.tif") for part in ("stack", "truth", "labels")
    ]
    compile(demo.VIEWER_SCRIPT, "open", "exec")


def test_output_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = runner.invoke(app, ["demo", "--out", str(tmp_path / "file" / "out")])
    assert result.exit_code == 2
    assert "--out is deprecated" in result.stderr
    assert "cannot be written" in result.stderr
