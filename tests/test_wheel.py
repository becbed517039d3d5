"""The wheel is useful without the research package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_wheel_without_research_runs_the_demo(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("research", "__pycache__")
    shutil.copytree(ROOT / "src", source / "src", ignore=ignored)
    build = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    built = subprocess.run(
        [sys.executable, "-c", build], cwd=source, check=True, capture_output=True, text=True
    )
    installed = tmp_path / "installed"
    with zipfile.ZipFile(source / built.stdout.split()[-1]) as wheel:
        assert not [name for name in wheel.namelist() if "/research/" in name]
        wheel.extractall(installed)

    code = (
        "import napari_vrp_sam; print(napari_vrp_sam.__file__); "
        "from napari_vrp_sam.cli import main; main()"
    )
    output = tmp_path / "demo"
    demo = subprocess.run(
        [sys.executable, "-c", code, "demo", "--output", str(output)],
        env={**os.environ, "PYTHONPATH": str(installed)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert demo.returncode == 0, demo.stderr
    assert demo.stdout.startswith(str(installed))
    assert list(output.rglob("*.png"))
